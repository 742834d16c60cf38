"""The circle: figure 25 of the replication study as it was, and solved by flows that know that the circle is one."""
