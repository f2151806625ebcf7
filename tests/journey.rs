//! The Complete Journey: a year of real retail, imported and compared with DuckDB over its source files.
