//! The guest's memory page by page, for a Bochs that does not load it as one image: 3.1 puts every
//! page of an `optramimage` at address 0, and its debugger's `loadmem` puts every page of a file at
//! the file's first address.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

use crate::vmm::bochs::rom::BLOB_ADDRESS;

const PAGE: usize = 4096;

/// Writes each page that is not empty to its own file in `directory`. Returns the debugger's
/// commands that load them.
///
/// # Errors
/// A file cannot be written.
pub fn write(ram: &[u8], directory: &Path) -> io::Result<String> {
    let mut commands = String::new();
    for (address, page) in (BLOB_ADDRESS..).step_by(PAGE).zip(ram.chunks(PAGE)) {
        if page.iter().any(|&byte| byte != 0) {
            let name = format!("{address:x}.page");
            fs::write(directory.join(&name), page)?;
            let _ = writeln!(commands, "loadmem \"{name}\" {address:#x}");
        }
    }
    Ok(commands)
}

#[cfg(test)]
mod tests {
    use super::{PAGE, write};

    #[test]
    fn each_page_that_is_not_empty_is_loaded_where_it_belongs() {
        let directory = tempfile::tempdir().unwrap();
        let mut ram = vec![0; 3 * PAGE];
        ram[0] = 1;
        ram[2 * PAGE + 5] = 2;
        let commands = write(&ram, directory.path()).unwrap();
        assert_eq!(
            commands,
            "loadmem \"100000.page\" 0x100000\nloadmem \"102000.page\" 0x102000\n"
        );
        assert_eq!(std::fs::read(directory.path().join("102000.page")).unwrap(), ram[2 * PAGE..]);
    }
}
