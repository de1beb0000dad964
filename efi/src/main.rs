//! The EFI application: it carries maskmatch's image, finds its options, and enters it by PVH.
//!
//! On entry: 64-bit mode with firmware's services. On exit: the image runs and firmware's services
//! are gone; or, after a sentence on the console, firmware goes on with its next choice.
//!
//! Secure Boot wants a signature, which nobody has given this application.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "reads its own bytes as the runner changed them; leaves firmware")]

#[path = "../../l1/src/machine/builtins.rs"]
mod builtins;
mod enter;

use core::fmt::Write;
use core::panic::PanicInfo;

use arrayvec::ArrayVec;
use efi::image::Image;
use efi::options::{FILE, FILE_ROOM, Line, line, of_file, of_load_options};
use efi::room::{MARK, ROOM};
use enter::Ready;
use uefi::boot;
use uefi::proto::device_path::media::FilePath;
use uefi::proto::loaded_image::LoadedImage;
use uefi::proto::media::file::{Directory, File, FileAttribute, FileMode};
use uefi::table::cfg::ConfigTableEntry;
use uefi::{CStr16, Status, system};

/// The image.
static L1: [u8; include_bytes!(concat!(env!("OUT_DIR"), "/l1")).len()] =
    *include_bytes!(concat!(env!("OUT_DIR"), "/l1"));

/// Where `maskmatch image` puts options: after the mark, up to a 0.
static OPTIONS: [u8; ROOM] = {
    let mut room = [0; ROOM];
    let (mark, _) = room.split_at_mut(MARK.len());
    mark.copy_from_slice(MARK);
    room
};

/// Path of a file, in characters.
type Path = ArrayVec<u16, 256>;

#[uefi::entry]
fn main() -> Status {
    let line = passed().or_else(in_file).unwrap_or_else(put_in);
    let ready = Image::of_elf(&L1)
        .ok_or("the application was built without its image")
        .and_then(|image| Ready::new(&image, &line, rsdp()));
    match ready {
        Ok(ready) => ready.go(),
        Err(why) => {
            say(why);
            Status::LOAD_ERROR
        }
    }
}

/// The options in EFI's load options, as a shell, a boot entry and iPXE give them.
fn passed() -> Option<Line> {
    let loaded = boot::open_protocol_exclusive::<LoadedImage>(boot::image_handle()).ok()?;
    of_load_options(loaded.load_options_as_bytes()?)
}

/// The options in the file beside the application, or in the root folder.
fn in_file() -> Option<Line> {
    let mut folder = folder().unwrap_or_default();
    let mut files = boot::get_image_file_system(boot::image_handle()).ok()?;
    let mut root = files.open_volume().ok()?;
    read(&mut root, &mut folder).or_else(|| read(&mut root, &mut Path::from_iter([SEPARATOR])))
}

const SEPARATOR: u16 = b'\\' as u16;

/// The folder that the application was loaded from, with the separator after it.
fn folder() -> Option<Path> {
    let loaded = boot::open_protocol_exclusive::<LoadedImage>(boot::image_handle()).ok()?;
    let mut path = Path::new();
    for node in loaded.file_path()?.node_iter() {
        let Ok(node) = <&FilePath>::try_from(node) else { continue };
        let name = node.path_name();
        let units = name.iter().take_while(|unit| *unit != 0);
        // What finds no room leaves a path that no file has.
        path.extend(units.take(path.remaining_capacity()));
    }
    let end = path.iter().rposition(|unit| *unit == SEPARATOR)?;
    path.truncate(end + 1);
    Some(path)
}

fn read(root: &mut Directory, folder: &mut Path) -> Option<Line> {
    folder.try_extend_from_slice(&FILE.encode_utf16().chain([0]).collect::<Path>()).ok()?;
    let path = CStr16::from_u16_until_nul(folder).ok()?;
    let file = root.open(path, FileMode::Read, FileAttribute::empty()).ok()?;
    let mut text = [0; FILE_ROOM];
    let length = file.into_regular_file()?.read(&mut text).ok()?;
    of_file(&text[..length])
}

/// The options that `maskmatch image` put into the application.
fn put_in() -> Line {
    // SAFETY: the static is there; its bytes in the file may not be those that were compiled.
    let room = unsafe { (&raw const OPTIONS).read_volatile() };
    let text = room[MARK.len()..].iter().take_while(|byte| **byte != 0);
    line(text.copied().map(char::from))
}

/// Where ACPI's root pointer is.
fn rsdp() -> u64 {
    system::with_config_table(|tables| {
        let of = |guid| tables.iter().find(|table| table.guid == guid);
        of(ConfigTableEntry::ACPI2_GUID)
            .or_else(|| of(ConfigTableEntry::ACPI_GUID))
            .map_or(0, |table| table.address as u64)
    })
}

/// Writes a sentence to the console.
fn say(why: &str) {
    // A console that takes nothing cannot be told so.
    let _ = system::with_stdout(|console| writeln!(console, "maskmatch: {why}\r"));
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    say("the EFI application is wrong");
    loop {}
}
