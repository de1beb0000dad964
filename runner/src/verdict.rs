//! From the bytes of a log to the verdict, the report and the exit code.

pub mod conclusion;
pub mod difference;
pub mod exit_code;
pub mod findings;
pub mod intake;
pub mod json;
pub mod judge;
pub mod missed;
pub mod progress;
pub mod report;
pub mod vmcs_field;
