//! `shoal completions`: its arguments.

use super::Arguments;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::io::{self, Write};

/// Prints the completions of commands and options for a shell
///
/// They are made of the arguments of this very program. Packages and the container image have them in their usual
/// places.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  shoal completions bash > ~/.local/share/bash-completion/completions/shoal
  shoal completions zsh > \"${fpath[1]}/_shoal\"
  shoal completions fish > ~/.config/fish/completions/shoal.fish
  shoal completions powershell >> $PROFILE")]
pub struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl CompletionsArguments {
    pub fn run(self) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "shoal", &mut script);
        io::stdout().write_all(&script)?;
        Ok(())
    }
}
