//! Results as files: what other programs read, and what compares and shows several runs.
//!
//! A run is turned into [`document::Results`] once. Everything here reads only that, so a file of
//! yesterday is shown and compared as the run of today is.
//!
//! | to find | look in |
//! |---|---|
//! | what `--json` writes and its schema | [`document`] |
//! | how a run becomes that | [`of_run`] |
//! | how a result is called, the same in every run | [`label`] |
//! | reading files and folders, writing atomically | [`store`] |
//! | what is kept of each job of a run, and how jobs are gathered | [`record`] |
//! | test points, as JUnit and TAP have them | [`points`], [`junit`], [`tap`] |
//! | two runs beside each other | [`mod@compare`] |
//! | the page for people | [`html`] |
//! | everything that a command writes at its end | [`publish`] |

pub mod compare;
pub mod document;
#[cfg(test)]
mod fixture;
pub mod html;
mod junit;
mod label;
pub mod of_run;
mod points;
pub mod publish;
pub mod record;
pub mod store;
mod tap;
