//! The help of all commands. Its examples can be copied as they are: no line of them is broken, however narrow the
//! terminal is.
//!
//! clap breaks lines at spaces. The spaces of examples are therefore exchanged for spaces that do not break, and
//! exchanged back when the help is printed.

use super::Arguments;
use clap::error::ErrorKind;
use clap::{Command, CommandFactory, FromArgMatches};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// A space at which no line is broken.
const UNBREAKABLE: char = '\u{a0}';

/// Parses the arguments of the process.
pub fn parse() -> Result<Arguments, clap::Error> {
    let matches = keep_examples_whole(Arguments::command()).try_get_matches()?;
    Arguments::from_arg_matches(&matches)
}

/// Prints what clap says instead of arguments: help, the version, or what is wrong with the arguments.
pub fn print(message: &clap::Error) -> ExitCode {
    let is_help =
        matches!(message.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
    // Nothing can be done about a failure to print, nor does a closed pipe matter.
    let _ = if is_help { print_help(message) } else { message.print() };
    ExitCode::from(u8::try_from(message.exit_code()).unwrap_or(1))
}

fn print_help(message: &clap::Error) -> io::Result<()> {
    let rendered = message.render();
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let text = |is_terminal: bool| {
        let text = if is_terminal && !is_plain { rendered.ansi().to_string() } else { rendered.to_string() };
        text.replace(UNBREAKABLE, " ")
    };
    match message.use_stderr() {
        true => io::stderr().write_all(text(io::stderr().is_terminal()).as_bytes()),
        false => io::stdout().write_all(text(io::stdout().is_terminal()).as_bytes()),
    }
}

fn keep_examples_whole(command: Command) -> Command {
    let examples = command.get_after_help().map(|help| unbreakable(&help.to_string()));
    let command = match examples {
        Some(examples) => command.after_help(examples),
        None => command,
    };
    command.mut_subcommands(keep_examples_whole)
}

/// The text with the spaces of its examples, which are indented, exchanged.
fn unbreakable(help: &str) -> String {
    let lines = help.lines().map(|line| match line.starts_with("  ") {
        true => line.replace(' ', &UNBREAKABLE.to_string()),
        false => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All commands with their subcommands, and the examples of each.
    fn examples(command: &Command, found: &mut Vec<String>) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let mut lines = help.lines().filter_map(|line| line.strip_prefix("  "));
        while let Some(line) = lines.next() {
            let mut example = line.trim().to_owned();
            while let Some(open) = example.strip_suffix('\\') {
                example = format!("{open}{}", lines.next().expect("a line after a backslash").trim());
            }
            found.push(example);
        }
        command.get_subcommands().for_each(|command| examples(command, found));
    }

    /// The words of a command of the shell, without pipes and redirections: enough for examples.
    fn words(command: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
        for letter in command.chars() {
            match (quote, letter) {
                (Some(open), letter) if open == letter => quote = None,
                (None, '"' | '\'') => quote = Some(letter),
                (None, ' ') if word.is_empty() => {}
                (None, ' ') => words.push(std::mem::take(&mut word)),
                (None, '#') if word.is_empty() => break,
                _ => word.push(letter),
            }
        }
        words.extend(Some(word).filter(|word| !word.is_empty()));
        let end = words.iter().position(|word| word.starts_with('>') || word == "<").unwrap_or(words.len());
        words.truncate(end);
        words
    }

    #[test]
    fn every_example_has_arguments_that_exist() {
        let mut found = Vec::new();
        let mut command = Arguments::command();
        command.build();
        examples(&command, &mut found);
        let mut checked = 0;
        for example in &found {
            for part in example.split(" | ") {
                let words: Vec<_> = words(part).into_iter().skip_while(|word| word.starts_with("SHOAL__")).collect();
                if words.first().is_some_and(|word| word == "shoal") {
                    let parsed = Arguments::command().try_get_matches_from(&words);
                    assert!(parsed.is_ok(), "{example}\n{}", parsed.unwrap_err());
                    checked += 1;
                }
            }
        }
        assert!(checked >= 30, "{checked} of {found:#?}");
    }

    #[test]
    fn every_command_but_help_has_examples() {
        let mut command = Arguments::command();
        command.build();
        for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
            let mut found = Vec::new();
            examples(subcommand, &mut found);
            assert!(found.len() >= 2, "{}: {found:?}", subcommand.get_name());
        }
    }

    /// A terminal of 80 columns shows every example in lines of its own.
    #[test]
    fn examples_fit_a_terminal() {
        let mut command = Arguments::command();
        command.build();
        for subcommand in command.get_subcommands() {
            let help = subcommand.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in help.lines().filter(|line| line.starts_with("  ")) {
                assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
            }
        }
    }

    #[test]
    fn spaces_of_examples_do_not_break() {
        let help = unbreakable("Examples:\n  shoal demo\n\nNot an example.");
        assert_eq!(help, "Examples:\n\u{a0}\u{a0}shoal\u{a0}demo\n\nNot an example.");
    }
}
