//! `completions` and `man`: the command line for shells and for man.

use clap::CommandFactory;
use clap_complete::generate;

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::output;
use crate::verdict::exit_code::{Exit, Stop};

/// Prints the completions of a shell.
///
/// # Errors
/// Standard output cannot be written.
pub fn completions(arguments: &CompletionsArgs) -> Result<Exit, Stop> {
    let mut script = Vec::new();
    generate(arguments.shell, &mut Cli::command(), "maskmatch", &mut script);
    output::print(|out| std::io::Write::write_all(out, &script))?;
    Ok(Exit::Pass)
}

/// Writes a man page for maskmatch and for each command.
///
/// # Errors
/// They cannot be written.
pub fn man(arguments: &ManArgs) -> Result<Exit, Stop> {
    std::fs::create_dir_all(&arguments.folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &arguments.folder))
        .map_err(|error| Stop::file("write man pages into", &arguments.folder, &error))?;
    Ok(Exit::Pass)
}
