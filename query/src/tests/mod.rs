//! The `.slt` files beside the relations and reports, and what needs more than SQL.

mod catalogue;
mod fixture;
mod follow;
mod headings;
mod lake;
mod limits;
mod reader;
mod slt;
mod views;
