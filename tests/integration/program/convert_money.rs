//! `shoal convert`: what an order is worth. Money is right, or the line is reported and the order is not written.

use super::convert::{convert, shoal, text};

/// A small mapping with what a test adds to its tables.
fn mapping(order: &str, amount: &str, others: &str) -> String {
    format!(
        "[customer]\ncolumn = \"who\"\n[order]\ncolumn = \"order\"\n{order}\n[time]\ncolumn = \"when\"\n[amount]\n{amount}\n{others}\n"
    )
}

/// The field of each event with its type, such as `purchase 5.00`.
fn fields(events: &str, name: &str) -> Vec<String> {
    events
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|event| {
            let field = event.get(name).map_or("-".to_owned(), |field| field.as_str().unwrap_or_default().to_owned());
            format!("{} {} {field}", event["type"].as_str().unwrap(), event["event_id"].as_str().unwrap())
        })
        .collect()
}

fn expect(mapping: &str, csv: &str, field: &str, expected: &[&str]) -> String {
    let (events, errors, status) = convert(mapping, csv);
    assert_eq!(fields(&events, field), expected, "{errors}");
    assert_eq!(status, i32::from(errors.contains("not written\n") && errors.contains("shoal: ")), "{errors}");
    errors
}

const WHEN: &str = "2024-05-01T10:00:00Z";

#[test]
fn an_order_with_an_invalid_line_is_written_only_with_partial() {
    let folder = tempfile::tempdir().unwrap();
    let csv = format!("order,who,when,price\n1,ann,{WHEN},5\n1,ann,{WHEN},five\n2,bob,{WHEN},7\n3,cid,{WHEN},x\n");
    std::fs::write(folder.path().join("orders.csv"), csv).unwrap();
    std::fs::write(folder.path().join("m.toml"), mapping("", "price = \"price\"", "")).unwrap();
    let run = |more: &[&str]| {
        let out = shoal(folder.path(), &[&["convert", "--mapping", "m.toml", "orders.csv"], more].concat());
        (text(&out.stdout).to_owned(), text(&out.stderr).to_owned(), out.status.code())
    };
    let (events, errors, status) = run(&[]);
    assert_eq!((fields(&events, "amount"), status), (vec!["purchase order-2 7.00".to_owned()], Some(1)));
    assert!(errors.contains("shoal: 2 invalid lines, 2 orders not written"), "{errors}");
    let (events, errors, status) = run(&["--partial"]);
    assert_eq!(fields(&events, "amount"), ["purchase order-1 5.00", "purchase order-2 7.00"]);
    assert!(events.lines().next().unwrap().ends_with(",\"partial\":true}"), "{events}");
    assert!(errors.contains("1 order not written") && errors.contains("1 order written without the invalid lines"));
    assert_eq!(status, Some(1));
}

#[test]
fn a_line_of_an_order_without_a_customer_is_not_invalid() {
    let csv = format!("order,who,when,n,price\n1,,{WHEN},-30,0\n2,,{WHEN},-1,5\n2,ann,{WHEN},1,7\n3,,{WHEN},1,2\n");
    let amount = "price = \"price\"\nquantity = \"n\"";
    let (events, errors, status) = convert(&mapping("", amount, ""), &csv);
    assert_eq!((&*events, status), ("", 1), "{errors}");
    assert!(
        errors.contains("orders.csv:3: amount: expected a quantity and a price of at least 0, found a quantity of -1")
    );
    assert!(errors.contains("2 lines without a customer skipped, 1 invalid line\n"), "{errors}");
    assert!(errors.contains("1 order not written because of an invalid line"), "{errors}");
    let csv = csv.replace(",-1,5", ",1,5");
    expect(&mapping("", amount, ""), &csv, "amount", &["purchase order-2 12.00"]);
}

#[test]
fn an_empty_optional_number_is_absent_and_an_empty_price_is_not_zero() {
    let amount = "price = \"price\"\nquantity = \"n\"";
    let csv = format!("order,who,when,n,price,off\n1,ann,{WHEN},1,5,1\n1,ann,{WHEN},2,3,\n2,bob,{WHEN},1,4,\n");
    let by_line = mapping("discount = \"off\"", amount, "");
    expect(&by_line, &csv, "discount", &["purchase order-1 1.00", "purchase order-2 -"]);
    let csv = csv.replace("2,3,", "2,,");
    let errors = expect(&by_line, &csv, "amount", &["purchase order-2 4.00"]);
    assert!(errors.contains("orders.csv:3: amount: expected a price"), "{errors}");
    // Without a quantity, the price may be the order's, on one of its lines. With two prices, none may be missing.
    let csv = format!("order,who,when,price\n1,ann,{WHEN},5\n1,,{WHEN},\n2,b,{WHEN},1\n2,b,{WHEN},1\n2,b,{WHEN},\n");
    let errors = expect(&mapping("", "price = \"price\"", ""), &csv, "amount", &["purchase order-1 5.00"]);
    assert!(errors.contains("order 2: 1 of the order's lines have no amount"), "{errors}");
}

#[test]
fn a_total_is_the_orders_on_one_or_all_lines() {
    let total = mapping("discount = \"off\"\ndiscount_per = \"order\"", "total = \"total\"", "");
    let csv = format!("order,who,when,total,off\n1,a,{WHEN},9.50,2\n1,a,{WHEN},9.5,2\n2,b,{WHEN},,\n2,b,{WHEN},7,\n");
    expect(&total, &csv, "amount", &["purchase order-1 9.50", "purchase order-2 7.00"]);
    expect(&total, &csv, "discount", &["purchase order-1 2.00", "purchase order-2 -"]);
    let errors = expect(&total, &csv.replace("9.5,2", "9.4,2"), "amount", &["purchase order-2 7.00"]);
    assert!(errors.contains("the total of order 1 is 9.50 on an earlier line, found 9.4"), "{errors}");
}

#[test]
fn currencies_are_checked_and_never_added_up() {
    let amount = "price = \"price\"\ncurrency_column = \"money\"";
    let csv = format!(
        "order,who,when,price,money\n1,a,{WHEN},10,EUR\n1,a,{WHEN},1000,JPY\n2,b,{WHEN},10,eur\n3,c,{WHEN},10,€\n\
         4,d,{WHEN},10,\n4,d,{WHEN},5,GBP\n5,e,{WHEN},5,EURO\n"
    );
    let errors = expect(&mapping("", amount, ""), &csv, "currency", &["purchase order-2 EUR", "purchase order-4 GBP"]);
    assert!(errors.contains("orders.csv:3: currency: the currency of order 1 is EUR"), "{errors}");
    assert!(errors.contains("orders.csv:5: currency: expected the ISO 4217 code"), "{errors}");
    let (_, errors, status) = convert(&mapping("", "price = \"price\"\ncurrency = \"Euro\"", ""), &csv);
    assert_eq!(status, 78);
    assert!(errors.contains("expected the ISO 4217 code of a currency, found \"Euro\""), "{errors}");
}

#[test]
fn amounts_are_read_as_the_mapping_says() {
    let amount = "price = \"price\"\ndecimal_point = \",\"\nthousands = \".\"\nsigns = [\"€\"]";
    let file = "[file]\ndelimiter = \";\"";
    let csv = |price: &str| format!("order;who;when;price\n1;a;{WHEN};{price}\n");
    for (price, expected) in [("1.234,50 €", "1234.50"), ("€ 7,5", "7.50"), (",5", "0.50"), ("1.234.567", "1234567.00")]
    {
        expect(&mapping("", amount, file), &csv(price), "amount", &[&format!("purchase order-1 {expected}")]);
    }
    for price in ["1,234.50", "1_0", "$5", "12,50-", "(12,50)", "1.23", "-3,00", ""] {
        let (events, errors, status) = convert(&mapping("", amount, file), &csv(price));
        assert_eq!((events.as_str(), status), ("", 1), "{price}: {errors}");
    }
}

#[test]
fn discounts_have_either_sign_and_may_be_lines() {
    let amount = "price = \"price\"\nquantity = \"n\"\nnegative_price = \"discount\"";
    let csv = format!(
        "order,who,when,n,price,off\n1,a,{WHEN},2,10,-1.50\n1,a,{WHEN},1,-3,\n2,b,{WHEN},1,10,2\n3,c,{WHEN},1,1,\n3,c,{WHEN},1,-2,\n"
    );
    let with_lines = mapping("discount = \"off\"", amount, "");
    let errors = expect(&with_lines, &csv, "amount", &["purchase order-1 17.00", "purchase order-2 10.00"]);
    assert!(errors.contains("order 3: expected an amount of at least 0, found -1"), "{errors}");
    expect(&with_lines, &csv, "discount", &["purchase order-1 4.50", "purchase order-2 2.00"]);
}

#[test]
fn orders_of_one_number_by_two_customers_are_not_written() {
    let csv = format!("order,who,when,price\n1,ann,{WHEN},5\n1,bob,{WHEN},6\n2,ann,{WHEN},7\n");
    let errors = expect(&mapping("", "price = \"price\"", ""), &csv, "amount", &["purchase order-2 7.00"]);
    assert!(errors.contains("orders.csv:3: customer: the customer of order 1 is ann"), "{errors}");
}

#[test]
fn statuses_count_cancel_refund_or_are_ignored() {
    let status = "[status]\ncolumn = \"state\"\ncounts = [\"paid\", \"part\"]\ncancels = [\"void\"]\nrefunds = [\"refunded\"]\n\
                  ignores = [\"pending\"]\n[returns]\namount_column = \"back\"\ntime_column = \"back at\"";
    let order = "cancelled_at = \"cancelled\"\ncoupon = \"code\"";
    let csv = format!(
        "order,who,when,price,state,back,back at,cancelled,code\n\
         1,a,{WHEN},5,Paid,0.00,,,SPRING\n2,b,{WHEN},6,void,,,,\n3,c,{WHEN},7,paid,,,2024-05-03T00:00:00Z,\n\
         4,d,{WHEN},8,refunded,8,2024-05-02T00:00:00Z,,\n5,e,{WHEN},9,part,-2.5,,,\n6,f,{WHEN},9,pending,,,,\n\
         7,g,{WHEN},9,refundet,,,,\n"
    );
    let mapping = mapping(order, "price = \"price\"\ncurrency = \"EUR\"", status);
    let expected = [
        "purchase order-1 5.00",
        "purchase order-2 6.00",
        "cancel cancel-2 -",
        "purchase order-3 7.00",
        "purchase order-4 8.00",
        "purchase order-5 9.00",
        "refund refunded-5 2.50",
        "refund refunded-4 -",
        "cancel cancel-3 -",
    ];
    let errors = expect(&mapping, &csv, "amount", &expected);
    assert!(errors.contains("found \"refundet\"; did you mean `refunded`?"), "{errors}");
    assert!(errors.contains("1 order not written because of the status \"pending\""), "{errors}");
    assert!(errors.contains("5 purchases, 2 refunds, 2 cancellations"), "{errors}");
    let (events, ..) = convert(&mapping, &csv);
    assert!(events.lines().next().unwrap().contains("\"coupon\":\"SPRING\""), "{events}");
    let times: Vec<String> = fields(&events, "time");
    assert_eq!(times[7..], ["refund refunded-4 2024-05-02T00:00:00Z", "cancel cancel-3 2024-05-03T00:00:00Z"]);
}

/// An exchange, one document for two orders, a line that comes back days later: whatever the order of the lines.
#[test]
fn each_returned_line_has_its_own_order_and_time() {
    let others = "[returns]\nnegative_quantity = true\norder_column = \"of\"";
    let mapping = mapping("channel = \"via\"", "price = \"price\"\nquantity = \"n\"\ncurrency = \"EUR\"", others);
    let lines = [
        "1,ann,2024-05-01T10:00:00Z,40,1,,web",
        "2,ann,2024-05-02T10:00:00Z,45,1,,web",
        "2,ann,2024-05-02T10:00:00Z,40,-1,1,shop",
        "3,bob,2024-05-01T10:00:00Z,20,1,,web",
        "4,bob,2024-05-01T11:00:00Z,10,2,,web",
        "5,bob,2024-05-03T10:00:00Z,20,-1,3,shop",
        "5,bob,2024-05-04T10:00:00Z,10,-1,4,shop",
        "5,bob,2024-05-03T12:00:00Z,10,-1,4,shop",
        "6,cid,2024-05-01T10:00:00Z,15,1,,web",
        "6,cid,2024-05-06T10:00:00Z,15,-1,6,web",
    ];
    let header = "order,who,when,price,n,of,via\n";
    let (events, errors, status) = convert(&mapping, &format!("{header}{}\n", lines.join("\n")));
    assert_eq!(status, 0, "{errors}");
    for expected in [
        r#""refund-2","customer_id":"ann","type":"refund","time":"2024-05-02T10:00:00Z","order_id":"1","amount":"40.00","currency":"EUR","channel":"shop""#,
        r#""refund-5-of-3","customer_id":"bob","type":"refund","time":"2024-05-03T10:00:00Z","order_id":"3","amount":"20.00""#,
        r#""refund-5-of-4","customer_id":"bob","type":"refund","time":"2024-05-03T12:00:00Z","order_id":"4","amount":"20.00""#,
        r#""refund-6","customer_id":"cid","type":"refund","time":"2024-05-06T10:00:00Z","order_id":"6","amount":"15.00""#,
        r#""order-6","customer_id":"cid","type":"purchase","time":"2024-05-01T10:00:00Z""#,
    ] {
        assert!(events.contains(expected), "{expected}\nis not in\n{events}");
    }
    let times: Vec<&str> = events.lines().map(|line| line.split("\"time\":\"").nth(1).unwrap()).collect();
    assert!(times.is_sorted_by_key(|time| &time[..20]), "{events}");
    let mut reversed = lines;
    reversed.reverse();
    let (again, ..) = convert(&mapping, &format!("{header}{}\n", reversed.join("\n")));
    let sorted = |events: &str| {
        let mut lines: Vec<String> = events.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&again), sorted(&events));
}

#[test]
fn mistakes_of_the_new_keys_are_found_before_anything_is_read() {
    let order = "discount_per = \"item\"";
    let amount = "price = \"price\"\ntotal = \"total\"\ndecimal_point = \",\"\nthousands = \",\"\nsigns = [\"1\"]\n\
                  negative_price = \"ok\"";
    let others = "[status]\ncolumn = \"state\"\ncounts = [\"paid\", \"Paid\"]\n[returns]\namount_after = \"x\"\n[file]\n\
                  encoding = \"klingon\"\n[attribute_types]\nage = \"number\"\n";
    let (events, errors, status) = convert(&mapping(order, amount, others), "order\n");
    assert_eq!((events.as_str(), status), ("", 78), "{errors}");
    for expected in [
        "mapping.toml:5:16: expected \"line\" or \"order\"",
        "mapping.toml:10:9: the amount is `total` and the sum of `price`",
        "mapping.toml:12:13: expected \",\", \".\", \"'\" or \" \", and another one than the decimal point",
        "mapping.toml:13:9: expected signs without digits",
        "mapping.toml:14:18: expected \"mistake\" or \"discount\"",
        "mapping.toml:17:10: the status \"paid\" is listed twice",
        "mapping.toml:19:16: `amount_after` is set without `amount_column`",
        "mapping.toml:21:12: expected \"auto\" or an encoding such as \"utf-8\"",
        "mapping.toml:23:7: there is no attribute `age`",
    ] {
        assert!(errors.contains(expected), "{expected}\nis not in\n{errors}");
    }
}

#[test]
fn a_return_without_an_amount_on_one_of_its_lines_is_reported() {
    let mapping = mapping("", "price = \"price\"", "[returns]\norder_prefix = \"R\"");
    let csv = format!("order,who,when,price\nR1,a,{WHEN},5\nR1,a,{WHEN},6\nR1,a,{WHEN},\nR2,b,{WHEN},-7\n");
    let errors = expect(&mapping, &csv, "amount", &["refund refund-R2 7.00"]);
    assert!(errors.contains("order R1: 1 of the order's lines have no amount"), "{errors}");
}
