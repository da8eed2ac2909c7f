//! What io_uring does here.

use crate::doctor::found::Found;
use crate::host_check::ring_complaint_here;
use crate::io::ring::missing_operations;

pub(super) fn setup() -> Found {
    match ring_complaint_here() {
        None => Found::text("works"),
        Some(complaint) => Found::text(complaint.to_string()),
    }
}

pub(super) fn operations() -> Found {
    match missing_operations() {
        Ok(missing) if missing.is_empty() => Found::text("all"),
        Ok(missing) => Found::text(format!("without {}", missing.join(", "))),
        Err(error) => Found::Unknown(format!("no ring tells its operations: {error}")),
    }
}
