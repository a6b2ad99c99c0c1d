//! SQL that people bring from elsewhere and that the rule language does not have: what to write instead.
//!
//! It is looked for in the words of a condition before it is parsed, so that each piece is reported at its own word,
//! and all of them at once.

use sqlparser::tokenizer::{Token, TokenWithSpan};

/// A piece of SQL that the rule language does not have.
pub struct Foreign {
    /// Its first and its last token.
    pub first: usize,
    pub last: usize,
    pub message: String,
    pub hint: String,
}

/// What the advice needs.
#[derive(Clone, Copy)]
enum When {
    /// The word alone.
    Word,
    /// The word followed by an opening parenthesis.
    Call,
    /// The word followed by one of these words.
    Before(&'static [&'static str]),
    /// The word followed by a text or a number.
    BeforeLiteral,
}

const TIME: &str = "a condition is evaluated at each moment anyway: compare durations, such as recency_days <= 30 or since('view') < 7, or use a window, such as orders_30d";
const CALENDAR: &str = "there are no calendar units: durations are in days and windows in hours or days, such as recency_days <= 30, days_since(attribute) or orders_30d";
const COUNTS: &str =
    "features count: `orders`, `orders_30d`, `views_7d`, events('survey', 30); `shoal check --features` lists them";
const SUMS: &str =
    "features sum: `revenue`, `revenue_90d`, `avg_order_value`, `refunded`; `shoal check --features` lists them";
const WINDOWS: &str =
    "a condition is about one customer; features have windows of time, such as orders_30d or revenue_90d";
const BRANCHES: &str =
    "write the cases with AND and OR, or as segments of a segmentation, of which the first that matches counts";
const CASE_OF_LETTERS: &str =
    "LIKE and = mind case: list the spellings, such as country IN ('de', 'DE'), or join several LIKE with OR";
const TEXTS: &str = "texts are compared as they are: with =, IN, LIKE";
const TYPES: &str = "values have the type of their feature; an attribute's type is declared in [attributes]";
const PATTERNS: &str = "patterns are those of LIKE: % is any text, _ one character";
const ONE_CUSTOMER: &str = "a condition is about one customer, and reads features instead of tables";

/// Words, when they count, and what to write instead.
const WORDS: &[(&[&str], When, &str)] = &[
    (&["NOW", "GETDATE", "SYSDATE", "TODAY", "UNIX_TIMESTAMP"], When::Call, TIME),
    (&["CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME", "LOCALTIMESTAMP", "LOCALTIME"], When::Word, TIME),
    (&["INTERVAL"], When::BeforeLiteral, CALENDAR),
    (&["EXTRACT", "DATE_PART", "DATE_TRUNC", "DATEPART", "YEAR", "MONTH", "DAY", "HOUR", "WEEK"], When::Call, CALENDAR),
    (&["DATEDIFF", "DATE_DIFF", "DATE_ADD", "DATEADD", "DATE_SUB", "AGE", "TO_DATE", "STRFTIME"], When::Call, CALENDAR),
    (&["COUNT"], When::Call, COUNTS),
    (&["SUM", "AVG", "MIN", "MAX"], When::Call, SUMS),
    (&["ROW_NUMBER", "RANK", "DENSE_RANK", "NTILE", "LAG", "LEAD", "FIRST_VALUE", "LAST_VALUE"], When::Call, WINDOWS),
    (&["OVER"], When::Call, WINDOWS),
    (&["CASE"], When::Before(&["WHEN"]), BRANCHES),
    (&["IF", "IIF", "DECODE"], When::Call, BRANCHES),
    (&["ILIKE"], When::Word, CASE_OF_LETTERS),
    (&["LOWER", "UPPER", "LCASE", "UCASE"], When::Call, CASE_OF_LETTERS),
    (&["TRIM", "LENGTH", "LEN", "CONCAT", "SUBSTRING", "SUBSTR", "LEFT", "RIGHT", "REPLACE"], When::Call, TEXTS),
    (&["RLIKE", "REGEXP"], When::Word, PATTERNS),
    (&["REGEXP_LIKE", "REGEXP_MATCHES", "STARTS_WITH", "CONTAINS"], When::Call, PATTERNS),
    (&["SIMILAR"], When::Before(&["TO"]), PATTERNS),
    (&["CAST", "TRY_CAST", "CONVERT"], When::Call, TYPES),
    (&["IFNULL", "NVL"], When::Call, "write COALESCE"),
    (&["ISNULL", "NOTNULL"], When::Word, "write IS NULL or IS NOT NULL"),
    (&["NULLIF"], When::Call, "a division by 0 is NULL anyway"),
    (&["EXISTS"], When::Call, ONE_CUSTOMER),
    (&["XOR"], When::Word, "write (…) <> (…) with a condition in each of the parentheses"),
    (&["GROUP", "ORDER", "PARTITION"], When::Before(&["BY"]), ONE_CUSTOMER),
    (&["HAVING", "JOIN"], When::Word, ONE_CUSTOMER),
];

/// Operators and what to write instead.
const OPERATORS: &[(Token, &str)] = &[
    (Token::Overlap, "write AND"),
    (Token::StringConcat, "write OR; texts are not joined"),
    (Token::DoubleEq, "write ="),
    (Token::ExclamationMark, "write NOT"),
    (Token::DoubleColon, TYPES),
    (Token::Tilde, PATTERNS),
    (Token::SemiColon, "a condition has no end sign"),
];

/// All pieces of SQL that the rule language does not have, in order. `sql` is the text of the tokens.
pub fn find(tokens: &[TokenWithSpan], sql: &str) -> Vec<Foreign> {
    let significant: Vec<usize> =
        (0..tokens.len()).filter(|index| !matches!(tokens[*index].token, Token::Whitespace(_))).collect();
    let token = |n: usize| significant.get(n).map(|index| &tokens[*index].token);
    let mut found = Vec::new();
    let mut n = 0;
    while n < significant.len() {
        let last = match foreign(&token, n) {
            Some((last, message, hint)) => {
                let hint = hint.unwrap_or_else(|| select_hint(&token, n, sql, |n| tokens[significant[n]].span.start));
                // An operator is part of what it stands before.
                let end = if last == n { (n + 1).min(significant.len() - 1) } else { last };
                found.push(Foreign { first: significant[n], last: significant[end], message, hint });
                last
            }
            None => n,
        };
        n = last + 1;
    }
    found
}

/// The last token of the piece that begins here, the message, and the hint; `None` for the hint of SELECT.
fn foreign<'t>(token: &impl Fn(usize) -> Option<&'t Token>, n: usize) -> Option<(usize, String, Option<String>)> {
    let this = token(n)?;
    if let Some((_, hint)) = OPERATORS.iter().find(|(operator, _)| operator == this) {
        return Some((n, format!("expected an operator of the rule language, found `{this}`"), Some((*hint).into())));
    }
    let word = unquoted(this)?;
    let next = token(n + 1);
    if word == "SELECT" {
        return Some((end_of_select(token, n), "expected a condition, found `SELECT`".into(), None));
    }
    if word == "WHERE" && n == 0 {
        let hint = "leave it out: a condition is what would follow WHERE";
        return Some((n, "expected a condition, found `WHERE`".into(), Some(hint.into())));
    }
    let (_, when, hint) = WORDS.iter().find(|(words, _, _)| words.contains(&word.as_str()))?;
    let counts = match when {
        When::Word => true,
        When::Call => next == Some(&Token::LParen),
        When::Before(words) => {
            next.and_then(unquoted).is_some_and(|next| words.contains(&next.as_str())) || word == "CASE"
        }
        When::BeforeLiteral => matches!(next, Some(Token::SingleQuotedString(_) | Token::Number(..))),
    };
    if !counts {
        return None;
    }
    let last = match when {
        When::Call => end_of_parentheses(token, n + 1),
        When::Word if next == Some(&Token::LParen) => end_of_parentheses(token, n + 1),
        When::BeforeLiteral => n + 1,
        When::Before(_) if word == "CASE" => end_of_case(token, n),
        When::Word | When::Before(_) => n,
    };
    Some((last, format!("expected SQL of the rule language, found `{this}`"), Some((*hint).into())))
}

/// A word in upper case, unless it is in quotes.
fn unquoted(token: &Token) -> Option<String> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_uppercase()),
        _ => None,
    }
}

/// The parenthesis that closes the one at `open`, or the last token.
fn end_of_parentheses<'t>(token: &impl Fn(usize) -> Option<&'t Token>, open: usize) -> usize {
    let (mut depth, mut n) = (0_usize, open);
    while let Some(this) = token(n) {
        match this {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return n;
        }
        n += 1;
    }
    n - 1
}

fn end_of_case<'t>(token: &impl Fn(usize) -> Option<&'t Token>, case: usize) -> usize {
    let (mut depth, mut n) = (0_usize, case);
    while let Some(this) = token(n) {
        match unquoted(this).as_deref() {
            Some("CASE") => depth += 1,
            Some("END") => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return n;
        }
        n += 1;
    }
    n - 1
}

/// The last token of a SELECT as far as its WHERE, or of all of it if it is in parentheses or has none.
fn end_of_select<'t>(token: &impl Fn(usize) -> Option<&'t Token>, select: usize) -> usize {
    let mut n = select;
    let mut depth = 0_usize;
    while let Some(this) = token(n) {
        match this {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => return n - 1,
            Token::RParen => depth -= 1,
            _ if select == 0 && unquoted(this).as_deref() == Some("WHERE") => return n,
            _ => {}
        }
        n += 1;
    }
    n - 1
}

/// What to write instead of a SELECT.
fn select_hint<'t>(
    token: &impl Fn(usize) -> Option<&'t Token>,
    select: usize,
    sql: &str,
    start: impl Fn(usize) -> sqlparser::tokenizer::Location,
) -> String {
    if select > 0 {
        return ONE_CUSTOMER.into();
    }
    let after = end_of_select(token, select) + 1;
    let Some(column) = token(after).map(|_| start(after)).filter(|start| start.line == 1) else {
        return "a condition is only what would follow WHERE".into();
    };
    let condition: String = sql.chars().skip(column.column as usize - 1).collect();
    format!("write only what follows WHERE: `{}`", condition.trim_end_matches([';', ' ', '\n']))
}
