//! From the bytes of a log to the verdict, the report and the exit code.

pub mod account;
pub mod answer;
pub mod capture;
pub mod conclusion;
pub mod contradiction;
pub mod difference;
pub mod example;
pub mod exit_code;
pub mod findings;
pub mod intake;
pub mod join;
pub mod judge;
pub mod kind;
pub mod known;
pub mod matrix;
pub mod names;
pub mod progress;
pub mod report;
pub mod result;
pub mod subject;
pub mod suspects;
pub mod vmcs_field;
