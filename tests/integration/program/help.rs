//! The help, completions and manual pages of the program: every example in the help can be copied whole, and does what
//! it says.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_shoal");

fn shoal(arguments: &[&str], columns: &str) -> String {
    let Output { status, stdout, stderr } =
        Command::new(PROGRAM).args(arguments).env("COLUMNS", columns).output().unwrap();
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

fn commands() -> Vec<String> {
    let help = shoal(&["--help"], "400");
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    // Lines that go on with a description are indented further.
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect()
}

/// The examples in a command's help, each in one line.
fn examples(command: &str, columns: &str) -> Vec<String> {
    let help = shoal(&[command, "--help"], columns);
    let after = help.split("Examples:\n").nth(1).unwrap_or_else(|| panic!("{command} has no examples:\n{help}"));
    let mut lines = after.lines().take_while(|line| line.starts_with("  "));
    let mut examples = Vec::new();
    while let Some(line) = lines.next() {
        let mut example = line.trim().to_owned();
        while let Some(open) = example.strip_suffix('\\') {
            example = format!("{open}{}", lines.next().expect("a line after a backslash").trim());
        }
        examples.push(example);
    }
    examples
}

#[test]
fn examples_are_whole_in_narrow_terminals() {
    for command in commands() {
        let whole = examples(&command, "300");
        assert!(whole.len() >= 2, "{command}: {whole:?}");
        for columns in ["40", "60", "80", "100"] {
            assert_eq!(examples(&command, columns), whole, "{command} in {columns} columns");
        }
        assert!(!whole.concat().contains('\u{a0}'), "spaces are those of the keyboard");
    }
}

/// Files that the examples name.
fn prepare(folder: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copy = |from: &str, to: &str| {
        let to = folder.join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(root.join(from), to).unwrap();
    };
    for name in
        ["config/rules.toml", "config/shoal.toml", "config/demo/rules.toml", "config/mappings/online-retail.toml"]
    {
        copy(name, name);
    }
    copy("config/rules.toml", "rules.toml");
    copy("config/demo/rules.toml", "mine.toml");
    copy("config/shoal.toml", "shoal.toml");
    copy("config/rules.toml", "etc/shoal/rules.toml");
    copy("config/shoal.toml", "etc/shoal/shoal.toml");
    copy("config/demo/online-retail-excerpt.csv.gz", "online-retail.csv.gz");
    let line = |day: u32, fields: &str| {
        format!("{{\"customer_id\":\"c-1\",\"time\":\"2020-03-{day:02}T09:00:00Z\",{fields}}}\n")
    };
    let orders =
        line(1, "\"type\":\"purchase\",\"amount\":\"12.00\"") + &line(9, "\"type\":\"purchase\",\"amount\":\"5\"");
    let views = line(2, "\"type\":\"view\"") + &line(10, "\"type\":\"search\"");
    let zst = |text: &str| zstd::bulk::compress(text.as_bytes(), 1).unwrap();
    let gz = |text: &str| {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(text.as_bytes()).unwrap();
        gz.finish().unwrap()
    };
    let csv = "Order,Customer,Date,Total\n1,a,2020-03-01T09:00:00Z,10.00\n2,b,2020-03-02T09:00:00Z,20.00\n";
    let mapping = "[customer]\ncolumn = \"Customer\"\n[order]\ncolumn = \"Order\"\n[time]\ncolumn = \"Date\"\n\
                   [amount]\ntotal = \"Total\"\ncurrency = \"EUR\"\n";
    let shopify = "Name,Email,Financial Status,Paid at,Currency,Subtotal,Shipping,Taxes,Total,Discount Code,\
        Discount Amount,Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem sku,Billing Country,\
        Cancelled at,Refunded Amount,Vendor,Source,Lineitem discount\n\
        #1,kim@example.com,paid,2023-03-07 09:00:05 +0100,EUR,61.50,0.00,0.00,61.50,,0.00,2023-03-07 09:00:00 +0100,\
        1,Mug,61.50,MUG-1,DE,,0.00,House,web,0.00\n";
    for (name, bytes) in [
        ("orders.jsonl.zst", zst(&orders)),
        ("orders.jsonl.gz", gz(&orders)),
        ("browsing.jsonl.gz", gz(&views)),
        ("events.jsonl", (orders.clone() + &views).into_bytes()),
        ("events.jsonl.zst", zst(&orders)),
        ("history.jsonl.zst", zst(&orders)),
        ("orders-1.csv.gz", gz(csv)),
        ("orders_export.csv", shopify.into()),
        ("shop.toml", mapping.into()),
    ] {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    for name in [".local/share/bash-completion/completions", ".config/fish/completions"] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
    }
}

/// What an example needs that is not here: a broker, a bucket, another program, half a minute. Their arguments are
/// checked in src/cli/help.rs, and the tests on a broker run these commands.
const NEEDS: [&str; 9] = [
    "shoal run",
    "shoal produce",
    "shoal health",
    "shoal rebuild",
    "shoal change-group",
    "--connect",
    "s3://",
    "duckdb",
    "--speed 40",
];

/// A pager of manual pages need not be installed.
const PRELUDE: &str =
    "set -eo pipefail; fpath=(none \"$HOME\"); PROFILE=\"$HOME/profile.ps1\"; man() { test -s \"$1\"; }\n";

#[test]
fn every_example_does_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let commands = commands();
    let mut all: Vec<String> = commands.iter().flat_map(|command| examples(command, "100")).collect();
    // A snapshot must be there before it is listed.
    all.sort_by_key(|example| !example.starts_with("shoal seed"));
    let (mut ran, mut skipped) = (BTreeSet::new(), Vec::new());
    for example in &all {
        if NEEDS.iter().any(|needed| example.contains(needed)) || example == "shoal demo" {
            skipped.push(example);
            continue;
        }
        let script = example.replace("/etc/shoal/", "etc/shoal/").replace("2026-11-01", "2020-11-01");
        let script =
            if script.starts_with("shoal demo --rules") { script.replace("demo", "demo --speed max") } else { script };
        let Output { status, stdout, stderr } = Command::new("bash")
            .current_dir(folder.path())
            .args(["-c", &format!("{PRELUDE}{script}")])
            .env("HOME", folder.path())
            .env(
                "PATH",
                format!("{}:{}", Path::new(PROGRAM).parent().unwrap().display(), std::env::var("PATH").unwrap()),
            )
            .output()
            .unwrap();
        let (out, errors) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{example}\n{status}\n{out}\n{errors}");
        ran.insert(example.split(' ').nth(1).unwrap());
    }
    println!("{} examples ran, {} need more", all.len() - skipped.len(), skipped.len());
    assert!(all.len() - skipped.len() >= 20, "{skipped:#?}");
    for command in ["check", "completions", "convert", "demo", "man", "replay", "seed", "snapshot"] {
        assert!(ran.contains(command), "no example of {command} ran: {ran:?}");
    }
    for written in ["changes.jsonl", "members.jsonl", "tables/customers.parquet", "_shoal", "profile.ps1", "shoal.1"] {
        let bytes = std::fs::metadata(folder.path().join(written)).map(|file| file.len()).unwrap_or(0);
        assert!(bytes > 0, "{written} is missing or empty");
    }
    let rejected = std::fs::read_to_string(folder.path().join("bad.jsonl")).unwrap();
    assert_eq!(rejected, "", "all events of the examples are good");
}

/// Every shell's own parser takes its completions, if the shell is here; all name the commands and their options.
#[test]
fn completions_are_scripts_of_their_shells() {
    let folder = tempfile::tempdir().unwrap();
    for (shell, check) in [
        ("bash", Some(("bash", "-n"))),
        ("zsh", Some(("zsh", "-n"))),
        ("fish", Some(("fish", "-n"))),
        ("powershell", None),
    ] {
        let script = shoal(&["completions", shell], "100");
        for word in ["replay", "snapshot", "publish-from", "strict", "completions"] {
            assert!(script.contains(word), "{shell} completes {word}");
        }
        let file = folder.path().join(shell);
        std::fs::write(&file, &script).unwrap();
        let Some((program, flag)) = check else { continue };
        match Command::new(program).arg(flag).arg(&file).output() {
            Ok(out) => assert!(out.status.success(), "{shell}: {}", String::from_utf8_lossy(&out.stderr)),
            Err(_) => println!("{program} is not installed"),
        }
    }
    // Bash completes what was begun.
    let complete = format!(
        "source {}/bash; COMP_WORDS=(shoal rep); COMP_CWORD=1; _shoal shoal rep shoal; echo \"${{COMPREPLY[@]}}\"",
        folder.path().display()
    );
    let out = Command::new("bash").args(["-c", &complete]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), "replay", "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("share/man/man1");
    shoal(&["man", "--to", pages.to_str().unwrap()], "100");
    for command in commands() {
        let page = std::fs::read_to_string(pages.join(format!("shoal-{command}.1"))).expect(&command);
        assert_eq!(page, shoal(&["man", &command], "40"), "{command}: the page does not depend on the terminal");
        assert!(page.contains(".TH") && page.contains("Examples:") && !page.contains('\u{a0}'), "{page}");
    }
    let page = std::fs::read_to_string(pages.join("shoal.1")).unwrap();
    assert_eq!(page, shoal(&["man"], "100"));
    assert!(page.contains("Exit statuses"), "{page}");
    assert!(std::fs::read_to_string(pages.join("shoal-snapshot-export.1")).unwrap().contains("parquet"));
    let wrong = Command::new(PROGRAM).args(["man", "repaly"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("known here: demo, replay"));
}
