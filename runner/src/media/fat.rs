//! FAT volumes.

use std::io::{self, Cursor, Write};

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};

/// The volume's name.
const LABEL: [u8; 11] = *b"MASKMATCH  ";

/// A volume of this many bytes with these files: path from the root, content.
pub fn volume(size: usize, files: &[(&[&str], &[u8])]) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    fatfs::format_volume(Cursor::new(&mut bytes), FormatVolumeOptions::new().volume_label(LABEL))?;
    let volume = FileSystem::new(Cursor::new(&mut bytes), FsOptions::new())?;
    for (path, content) in files {
        let Some((name, folders)) = path.split_last() else { continue };
        let mut folder = volume.root_dir();
        for name in folders {
            folder = folder.create_dir(name)?;
        }
        folder.create_file(name)?.write_all(content)?;
    }
    volume.unmount()?;
    Ok(bytes)
}
