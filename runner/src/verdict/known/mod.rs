//! Known deviations: what certain processors and hosts are known to do wrong, as tables.
//!
//! The image reports what differs from the manual. A difference is known if the rows of the tables
//! that match subject and case cover it together; it then counts apart, and is no failure. To add
//! a deviation, add a row to a table in `runner/known`, or to a file of your own for `--known`.
//!
//! | to find | look in |
//! |---|---|
//! | how a row is written | [`row`] |
//! | which hosts it is for | [`hosts`] |
//! | in which cases | [`cases`] |
//! | what may differ there | [`element`] |
//! | the tables | [`table`] |
//! | what is left out of a run | [`asks`] |
//! | whether a difference is known | [`cover`] |
//! | rows that had to show and did not | [`passes`] |
//! | docs/known-deviations.md | [`document`] |
//! | docs/evidence.md | [`evidence`] |

mod asks;
pub mod cases;
pub mod cover;
pub mod document;
pub mod element;
pub mod evidence;
pub mod hosts;
pub mod passes;
pub mod row;
pub mod table;
#[cfg(test)]
mod tests;

pub use asks::Asks;
pub use cover::{Judged, Known};
pub use passes::{Ran, Seen};
pub use row::{Party, Row};
pub use table::Tables;
