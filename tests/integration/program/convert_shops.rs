//! `shoal convert`: the shipped mappings on exports with the columns and habits of the real ones.

use super::convert::{shoal, text};

/// Converts an export with a shipped mapping: events as short lines, standard error, status.
fn convert_as(mapping: &str, bytes: &[u8]) -> (Vec<String>, String, i32) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("orders.csv"), bytes).unwrap();
    let out = shoal(folder.path(), &["convert", "--mapping", mapping, "orders.csv"]);
    let short = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let of = |name: &str| event.get(name).map_or("-", |value| value.as_str().unwrap());
        let names = ["event_id", "customer_id", "time", "order_id", "amount", "currency", "discount"];
        names.map(of).join(" ")
    };
    let events = text(&out.stdout).lines().filter(|line| !line.contains("\"profile\"")).map(short).collect();
    (events, text(&out.stderr).to_owned(), out.status.code().unwrap())
}

/// Columns of the orders export: an order's values are on its first line only, and notes contain line breaks.
#[test]
fn shopify() {
    let header = "Name,Email,Financial Status,Paid at,Fulfillment Status,Fulfilled at,Accepts Marketing,Currency,Subtotal,\
        Shipping,Taxes,Total,Discount Code,Discount Amount,Shipping Method,Created at,Lineitem quantity,Lineitem name,\
        Lineitem price,Lineitem compare at price,Lineitem sku,Billing Name,Billing Country,Notes,Note Attributes,\
        Cancelled at,Payment Method,Refunded Amount,Vendor,Id,Tags,Risk Level,Source,Lineitem discount\n";
    let first = |name: &str,
                 email: &str,
                 status: &str,
                 total: &str,
                 off: &str,
                 cancelled: &str,
                 back: &str,
                 day: u32| {
        format!(
            "{name},{email},{status},2023-03-{day:02} 09:00:05 +0100,fulfilled,,no,EUR,{total},0.00,0.00,{total},WELCOME,\
             {off},Post,2023-03-{day:02} 09:00:00 +0100,1,Mug,{total},,MUG-1,N N,DE,,\"gift: yes\nsource: ad\",{cancelled},\
             card,{back},House,55{day},,Low,web,0.00\n"
        )
    };
    let more = |name: &str, email: &str, day: u32| {
        format!(
            "{name},{email},,,,,,,,,,,,,,2023-03-{day:02} 09:00:00 +0100,2,Cup,12.00,,CUP-1,,,,,,,,House,,,,,0.00\n"
        )
    };
    let csv = [
        header.to_owned(),
        first("#2007", "Kim@Example.com", "paid", "61.50", "4.50", "", "0.00", 7),
        more("#2007", "Kim@Example.com", 7),
        more("#2007", "Kim@Example.com", 7),
        first("#2006", "lou@example.com", "partially_refunded", "30.00", "0.00", "", "12.00", 6),
        first("#2005", "max@example.com", "refunded", "25.00", "0.00", "", "25.00", 5),
        first("#2004", "nia@example.com", "voided", "20.00", "0.00", "2023-03-04 11:00:00 +0100", "0.00", 4),
        first("#2003", "oda@example.com", "pending", "15.00", "0.00", "", "0.00", 3),
        first("#2002", "", "paid", "10.00", "0.00", "", "0.00", 2),
    ]
    .concat();
    let (events, errors, status) = convert_as("shopify", csv.as_bytes());
    assert_eq!(status, 0, "{errors}");
    let expected = [
        "order-#2004 nia@example.com 2023-03-04T08:00:00Z #2004 20.00 EUR -",
        "cancel-#2004 nia@example.com 2023-03-04T10:00:00Z #2004 - - -",
        "order-#2005 max@example.com 2023-03-05T08:00:00Z #2005 25.00 EUR -",
        "refunded-#2005 max@example.com 2023-03-05T08:00:00Z #2005 - - -",
        "order-#2006 lou@example.com 2023-03-06T08:00:00Z #2006 30.00 EUR -",
        "refunded-#2006 lou@example.com 2023-03-06T08:00:00Z #2006 12.00 EUR -",
        "order-#2007 kim@example.com 2023-03-07T08:00:00Z #2007 61.50 EUR 4.50",
    ];
    assert_eq!(events, expected, "{errors}");
    assert!(errors.contains("1 line without a customer skipped, 0 invalid lines"), "{errors}");
    assert!(errors.contains("1 order not written because of the status \"pending\""), "{errors}");
}

#[test]
fn woocommerce() {
    let header = "order_id,order_number,order_date,paid_date,status,shipping_total,discount_total,order_total,order_currency,\
        payment_method,customer_id,customer_email,billing_country,refund_items,line_item_1\n";
    let line = |id: u32, status: &str, off: &str, total: &str, customer: &str, mail: &str, back: &str| {
        format!(
            "{id},{id},2024-02-{id:02} 18:30:00,,{status},0.00,{off},{total},EUR,card,{customer},{mail},AT,{back},x\n"
        )
    };
    let csv = [
        header.to_owned(),
        line(11, "completed", "5.00", "\"1,195.00\"", "31", "p@example.com", ""),
        line(12, "completed", "0.00", "20.00", "0", "Guest.One@example.com", ""),
        line(13, "processing", "0.00", "21.00", "0", "guest.two@example.com", ""),
        line(14, "cancelled", "0.00", "22.00", "32", "q@example.com", ""),
        line(15, "failed", "0.00", "23.00", "32", "q@example.com", ""),
        line(16, "refunded", "0.00", "24.00", "32", "q@example.com", "amount:24.00|reason:late"),
        line(17, "completed", "0.00", "25.00", "32", "q@example.com", "amount:3.50|reason:;amount:1.00|reason:"),
        line(18, "pending", "0.00", "26.00", "33", "r@example.com", ""),
    ]
    .concat();
    let (events, errors, status) = convert_as("woocommerce", csv.as_bytes());
    assert_eq!(status, 0, "{errors}");
    let expected = [
        "order-11 wc-31 2024-02-11T18:30:00Z 11 1195.00 EUR 5.00",
        "order-12 guest.one@example.com 2024-02-12T18:30:00Z 12 20.00 EUR -",
        "order-13 guest.two@example.com 2024-02-13T18:30:00Z 13 21.00 EUR -",
        "order-14 wc-32 2024-02-14T18:30:00Z 14 22.00 EUR -",
        "cancel-14 wc-32 2024-02-14T18:30:00Z 14 - - -",
        "order-16 wc-32 2024-02-16T18:30:00Z 16 24.00 EUR -",
        "refunded-16 wc-32 2024-02-16T18:30:00Z 16 - - -",
        "order-17 wc-32 2024-02-17T18:30:00Z 17 25.00 EUR -",
        "refunded-17 wc-32 2024-02-17T18:30:00Z 17 4.50 EUR -",
    ];
    assert_eq!(events, expected, "{errors}");
}

#[test]
fn magento() {
    let csv = "ID,Purchase Point,Purchase Date,Bill-to Name,Ship-to Name,Grand Total (Base),Grand Total (Purchased),Status,\
        Billing Address,Shipping Address,Shipping Information,Customer Email,Customer Group,Subtotal,Shipping and Handling,\
        Customer Name,Payment Method,Total Refunded\n\
        000000041,\"Main Website\nMain Store\nDefault View\",\"Apr 9, 2024 3:05:10 PM\",S S,S S,64.0000,64.0000,complete,\
        \"1 Road,Town\",\"1 Road,Town\",Flat,S@Example.com,General,59.0000,5.0000,S S,checkmo,\n\
        000000042,Main,\"Apr 10, 2024 12:00:00 AM\",T T,T T,\"1,030.5000\",\"1,030.5000\",complete,x,x,Flat,t@example.com,\
        General,1030.5000,0.0000,T T,checkmo,30.5000\n\
        000000043,Main,\"Apr 11, 2024 9:00:00 AM\",U U,U U,12.0000,12.0000,closed,x,x,Flat,u@example.com,General,12.0000,\
        0.0000,U U,checkmo,12.0000\n\
        000000044,Main,\"Apr 12, 2024 9:00:00 AM\",U U,U U,13.0000,13.0000,canceled,x,x,Flat,u@example.com,General,13.0000,\
        0.0000,U U,checkmo,\n\
        000000045,Main,\"Apr 13, 2024 9:00:00 AM\",U U,U U,14.0000,14.0000,pending,x,x,Flat,u@example.com,General,14.0000,\
        0.0000,U U,checkmo,\n";
    let (events, errors, status) = convert_as("magento", csv.as_bytes());
    assert_eq!(status, 0, "{errors}");
    let expected = [
        "order-000000041 s@example.com 2024-04-09T15:05:10Z 000000041 64.00 - -",
        "order-000000042 t@example.com 2024-04-10T00:00:00Z 000000042 1030.50 - -",
        "refunded-000000042 t@example.com 2024-04-10T00:00:00Z 000000042 30.50 - -",
        "order-000000043 u@example.com 2024-04-11T09:00:00Z 000000043 12.00 - -",
        "refunded-000000043 u@example.com 2024-04-11T09:00:00Z 000000043 - - -",
        "order-000000044 u@example.com 2024-04-12T09:00:00Z 000000044 13.00 - -",
        "cancel-000000044 u@example.com 2024-04-12T09:00:00Z 000000044 - - -",
    ];
    assert_eq!(events, expected, "{errors}");
}

/// In Windows-1252, as Excel saves it, with the line that names the delimiter.
#[test]
fn european_excel() {
    let csv = "sep=;\r\nBestellnummer;Kundennummer;E-Mail;Bestelldatum;Warengruppe;Menge;Einzelpreis;Rabatt;Retoure zu;Land\r\n\
        501;70012;;02.01.2024 09:15;Möbel;1;1.249,90 \u{20ac};49,90;;Österreich\r\n\
        501;70012;;02.01.2024 09:15;Küche;3;7,5;;;Österreich\r\n\
        502;;jörg@example.com;31.03.2024 02:30;Küche;2;12,00;;;Deutschland\r\n\
        503;70012;;05.01.2024 10:00;Küche;-1;7,5;;501;Österreich\r\n";
    let (western, _, unmappable) = encoding_rs::WINDOWS_1252.encode(csv);
    assert!(!unmappable);
    let (events, errors, status) = convert_as("european-excel", &western);
    assert_eq!(status, 0, "{errors}");
    let expected = [
        "order-501 70012 2024-01-02T08:15:00Z 501 1272.40 EUR 49.90",
        "refund-503 70012 2024-01-05T09:00:00Z 501 7.50 EUR -",
        "order-502 jörg@example.com 2024-03-31T01:30:00Z 502 24.00 EUR -",
    ];
    assert_eq!(events, expected, "{errors}");
    assert!(errors.contains("note: orders.csv is read as windows-1252"), "{errors}");
}

#[test]
fn shipped_mappings_are_found_by_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("orders.csv"), "a\n").unwrap();
    let run = |mapping: &str| {
        let out = shoal(folder.path(), &["convert", "--mapping", mapping, "orders.csv"]);
        text(&out.stderr).to_owned()
    };
    assert!(run("shopifi").contains("mappings known by name: european-excel, magento, online-retail, shopify"));
    // A file of the name goes before.
    std::fs::write(folder.path().join("shopify"), "[oder]\n").unwrap();
    assert!(run("shopify").contains("shopify:1:2: unknown key `oder`"), "{}", run("shopify"));
}
