"""The circle: the report's figure 25 as it was, and solved by flows that know that the circle is one."""
