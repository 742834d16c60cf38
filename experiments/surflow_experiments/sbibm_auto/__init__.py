"""All ten tasks of sbibm without a word about any: the default of surflow beside that of the package sbi."""
