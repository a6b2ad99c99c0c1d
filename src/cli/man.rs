//! `shoal man`: its arguments.

use super::Arguments;
use anyhow::{Context, bail};
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use std::io::{self, Write};
use std::path::PathBuf;

/// Prints the manual page of a command, or writes all manual pages into a folder
///
/// The pages have the text of `--help`, in the format of man. The container image has them in
/// /usr/local/share/man/man1.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  shoal man > shoal.1
  shoal man replay > shoal-replay.1 && man ./shoal-replay.1
  shoal man --to ~/.local/share/man/man1")]
pub struct ManArguments {
    /// The command and its subcommand [default: the program itself]
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,

    /// Write all pages into this folder, which is made if it is missing
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    to: Option<PathBuf>,
}

impl ManArguments {
    pub fn run(self) -> anyhow::Result<()> {
        let mut program = Arguments::command().disable_help_subcommand(true);
        if let Some(folder) = &self.to {
            let failed = || format!("cannot write manual pages to {}", folder.display());
            std::fs::create_dir_all(folder).with_context(failed)?;
            return clap_mangen::generate_to(program, folder).with_context(failed);
        }
        program.build();
        let mut page = Vec::new();
        Man::new(found(&program, &self.command)?.clone()).render(&mut page)?;
        io::stdout().write_all(&page)?;
        Ok(())
    }
}

/// The command of these names, one within the other.
fn found<'c>(program: &'c Command, names: &[String]) -> anyhow::Result<&'c Command> {
    let mut command = program;
    for name in names {
        let Some(inner) = command.find_subcommand(name) else {
            let known: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
            bail!("expected a command, found {name:?}; known here: {}", known.join(", "));
        };
        command = inner;
    }
    Ok(command)
}
