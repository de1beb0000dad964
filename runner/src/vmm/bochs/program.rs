//! Which Bochs to run: the installed one, a file, or one that was unpacked with its own libraries.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use crate::debian::bochs::PROGRAM;

/// The installed one, in the folders of PATH.
const INSTALLED: &str = "bochs";
/// Libraries of a Debian system, below its root.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
/// The folder of libpulse's own libraries, below [`LIBRARIES`].
const PULSE: &str = "pulseaudio";
/// The dynamic linker, below the same.
const LINKER: &str = "ld-linux-x86-64.so.2";
/// Bochs' devices, below the same.
const PLUGINS: &str = "bochs/plugins";

/// A Bochs to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The words of its command before any arguments.
    words: Vec<OsString>,
    /// Variables that it needs.
    environment: Vec<(&'static str, OsString)>,
}

impl Program {
    /// The one that is installed.
    pub fn installed() -> Self {
        Self { words: vec![INSTALLED.into()], environment: Vec::new() }
    }

    /// The one in a file.
    pub fn in_file(path: &Path) -> Self {
        Self { words: vec![path.into()], environment: Vec::new() }
    }

    /// The one below the root of an unpacked Debian system, with the libraries that are there.
    pub fn below(root: &Path) -> Self {
        let libraries = root.join(LIBRARIES);
        let mut path = libraries.clone().into_os_string();
        path.push(":");
        path.push(libraries.join(PULSE));
        Self {
            words: vec![
                libraries.join(LINKER).into(),
                "--library-path".into(),
                path,
                root.join(PROGRAM).into(),
            ],
            environment: vec![
                ("LTDL_LIBRARY_PATH", libraries.join(PLUGINS).into()),
                ("BXSHARE", root.join("usr/share/bochs").into()),
            ],
        }
    }

    /// The sentence for a program that is missing.
    pub fn missing(&self) -> String {
        match self.words.first() {
            Some(word) if word != INSTALLED => {
                format!("there is no program {}", word.to_string_lossy())
            }
            _ => "Bochs is not installed".into(),
        }
    }

    /// The command that starts it with these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut words = self.words.iter();
        let mut command =
            Command::new(words.next().map_or(INSTALLED.as_ref(), OsString::as_os_str));
        command.args(words).args(arguments).envs(self.environment.iter().cloned());
        command
    }
}

#[cfg(test)]
mod tests {
    use super::Program;
    use crate::vmm::process::command_line;
    use std::path::Path;

    #[test]
    fn an_unpacked_one_runs_on_its_own_libraries() {
        let command = Program::below(Path::new("/c")).command(&["-q"]);
        assert_eq!(
            command_line(&command),
            "/c/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 --library-path \
             /c/usr/lib/x86_64-linux-gnu:/c/usr/lib/x86_64-linux-gnu/pulseaudio /c/usr/bin/bochs-bin -q"
        );
        assert_eq!(command.get_envs().count(), 2);
        assert_eq!(command_line(&Program::installed().command(&["-q"])), "bochs -q");
    }
}
