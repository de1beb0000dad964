//! The EFI application with options put into it.

use crate::payload::EFI;
use room::{MARK, ROOM};

#[path = "../../../efi/src/room.rs"]
mod room;

/// Where firmware looks on a medium without boot entries.
pub const DEFAULT_PATH: [&str; 3] = ["EFI", "BOOT", "BOOTX64.EFI"];

/// The application with these options, which the image takes.
pub fn application(options: &str) -> Vec<u8> {
    let mut file = EFI.to_vec();
    let slot = slot(&mut file);
    slot[..options.len()].copy_from_slice(options.as_bytes());
    file
}

/// The room for options, which a 0 ends.
fn slot(file: &mut [u8]) -> &mut [u8] {
    let mut places = file.windows(MARK.len()).enumerate().filter(|(_, bytes)| *bytes == MARK);
    let (Some((mark, _)), None) = (places.next(), places.next()) else {
        unreachable!("a test holds that the mark is there once");
    };
    &mut file[mark + MARK.len()..mark + ROOM]
}

#[cfg(test)]
mod tests {
    use object::pe::IMAGE_SUBSYSTEM_EFI_APPLICATION;
    use object::read::pe::{ImageOptionalHeader, PeFile64};

    use super::{application, slot};
    use spec::catalogue::options::MAX_COMMAND_LINE;

    #[test]
    fn the_application_has_the_options_and_room_for_the_longest() {
        let mut file = application("profile=quick");
        assert!(slot(&mut file).starts_with(b"profile=quick\0"));
        assert!(slot(&mut file).len() > MAX_COMMAND_LINE);
        assert_eq!(file.len(), application("").len());
    }

    #[test]
    fn firmware_can_put_it_anywhere() {
        let file = application("");
        let pe = PeFile64::parse(&*file).expect("a PE32+ file");
        let header = &pe.nt_headers().optional_header;
        assert_eq!(header.subsystem(), IMAGE_SUBSYSTEM_EFI_APPLICATION);
        let blocks = pe.data_directories().relocation_blocks(&*file, &pe.section_table());
        let mut blocks = blocks.expect("sound").expect("it has relocations");
        assert!(blocks.next().expect("sound").is_some());
    }
}
