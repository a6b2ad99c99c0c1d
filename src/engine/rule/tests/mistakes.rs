//! Every mistake that a file can have, with its exact message: cases in mistakes.txt, refreshed with `SHOAL_REFRESH=1`.

use super::super::read;
use super::check_cases;

/// The mistakes of a file, one per line.
fn mistakes_of(file: &str) -> String {
    match read(file) {
        Ok(_) => String::from("no mistake\n"),
        Err(mistakes) => format!("{mistakes}\n"),
    }
}

#[test]
fn mistakes_have_the_expected_messages() {
    check_cases("mistakes.txt", mistakes_of);
}

/// Mistakes that would make the file of cases too long to read.
#[test]
fn bounds_are_mistakes() {
    let many = |count: usize, part: &dyn Fn(usize) -> String| (0..count).map(part).collect::<String>();
    let audience = "[audience.a]\nwhen = \"orders > 1\"\n";
    // In several audiences, because one text would be too long.
    let comparisons = |count: usize| {
        many(count.div_ceil(256), &|n| {
            let of = |m: usize| format!("{}orders = {}", if m == 0 { "" } else { " OR " }, n * 256 + m);
            format!("[audience.a{n}]\nwhen = \"{}\"\n", many(256.min(count - n * 256), &of))
        })
    };
    let segments = many(250, &|n| format!("{{ name = \"s{n}\", when = \"orders = {n}\" }},\n"));
    let deep = format!("{}orders{} > 1", "(".repeat(60), ")".repeat(60));
    let nested = format!("{}orders{} > 1", "-(1 + ".repeat(24), ")".repeat(24));
    let sums = format!("orders{} > 1", " + 1".repeat(70));
    let chain = many(300, &|n| format!("{}orders = {n}", if n == 0 { "" } else { " OR " }));
    let list = many(257, &|n| format!("{}{n}", if n == 0 { "" } else { ", " }));
    let include = many(65, &|n| format!("\"orders_{}h\", ", n + 1));
    let cases = [
        (
            format!("{audience}# {}", "x".repeat(512 * 1024)),
            "1:1: expected a file of at most 524288 bytes, found 524323\n",
        ),
        (comparisons(1_024), "no mistake\n"),
        (comparisons(1_025), "10:9: expected at most 1024 different comparisons in the file, found more\n"),
        (
            format!("[segmentation.a]\nsegments = [{segments}]\n"),
            "251:25: expected the last segment without `when`, so that every customer is in one, found a condition; add a last segment with only a name\n",
        ),
        (
            format!("[segmentation.a]\nsegments = [{segments}{{ name = \"last\" }}]\n"),
            "2:12: expected 1 to 250 segments, found 251\n",
        ),
        (
            many(65, &|n| format!("[audience.a{n:02}]\nwhen = \"orders > 1\"\n")),
            "129:11: expected at most 64 segmentations and audiences, found 65\n",
        ),
        (
            format!("[audience.a]\nwhen = \"{}\"\n", "orders > 1 OR ".repeat(600) + "cart_open"),
            "2:9: expected at most 8192 bytes of SQL, found 8409\n",
        ),
        (
            format!("[audience.a]\nwhen = \"{deep}\"\n"),
            "2:9: in SQL: expected fewer parentheses within each other, found more\n",
        ),
        (
            format!("[audience.a]\nwhen = \"{nested}\"\n"),
            "2:9: in SQL: expected fewer parentheses within each other, found more\n",
        ),
        (
            format!("[audience.a]\nwhen = \"{sums}\"\n"),
            "2:9: expected expressions at most 64 deep, found a deeper one\n",
        ),
        (format!("[audience.a]\nwhen = \"{chain}\"\n"), "no mistake\n"),
        (format!("[audience.a]\nwhen = \"orders IN ({list})\"\n"), "2:9: expected 1 to 256 values in IN, found 257\n"),
        (format!("include = [{include}]\n{audience}"), "1:11: expected at most 64 features in `include`, found 65\n"),
        (
            format!("{audience}[attributes]\n{}", many(64, &|n| format!("a{n} = \"text\"\n"))),
            "3:1: expected at most 64 attributes, `country` included, found 65\n",
        ),
        (
            format!("{audience}[events]\n{}", many(33, &|n| format!("e{n} = \"other\"\n"))),
            "3:1: expected at most 32 declared types, found 33\n",
        ),
        (
            format!("{audience}[properties]\n{}", many(33, &|n| format!("p{n} = \"text\"\n"))),
            "3:1: expected at most 32 properties, found 33\n",
        ),
        (
            format!("{audience}{}", many(33, &|n| format!("[count.c{n}]\nof = \"view\"\n"))),
            "67:8: expected at most 32 counts, found 33\n",
        ),
        (
            format!("{audience}[currency.rates]\n{}", {
                let codes = crate::engine::currency::codes().filter(|code| *code != "EUR").take(65);
                codes.map(|code| format!("{code} = \"1.5\"\n")).collect::<String>()
            }),
            "3:1: expected at most 64 rates, found 65\n",
        ),
        (
            format!("[audience.a]\nwhen = \"country = '{}'\"\n", "x".repeat(257)),
            "2:19: expected text of at most 256 bytes, found 257\n",
        ),
    ];
    let wrong = cases.iter().filter(|(file, expected)| mistakes_of(file) != *expected);
    let wrong: Vec<_> = wrong.map(|(file, expected)| format!("{expected}is now\n{}", mistakes_of(file))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
