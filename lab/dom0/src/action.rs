//! Does what the guest asks for, see [`spec::channel`], or refuses and leaves everything as it was.

use spec::channel::{Ask, Status, Step};

use crate::guest::Guest;

/// Does what a code asks for.
pub fn act(_guest: &mut Guest, code: u32) -> Result<(), Status> {
    match Ask::from_code(code) {
        // It is there from the start.
        Some(Ask::SecondProcessor) => Ok(()),
        _ => Err(Status::Refused { step: Step::Know, errno: 0 }),
    }
}
