//! Settings from three layers: the shipped defaults, the file, the environment. A mistake names the layer it is in.
//!
//! `SHOAL__KAFKA__BROKERS` overrides `brokers` in `[kafka]`, with the same checks. A key that ends in `_file` names a
//! file that contains the value of the key without that ending, so that no secret has to be written into the
//! configuration. Values of keys whose names look like those of secrets are never shown.

use crate::document::schema::{self, Schema, Setting};
use crate::document::{Mistake, Mistakes, Origin, TextPosition};
use serde::de::DeserializeOwned;
use std::path::Path;
use toml::{Table, Value};

const PREFIX: &str = "SHOAL__";
const FILE_ENDING: &str = "_file";

/// A configuration file: its name for messages, and its text.
pub type File<'a> = (&'a str, &'a str);

/// A value of the right type that cannot be used: the dotted key, and the message.
pub type InvalidSetting = (&'static str, String);

/// Merges the layers and reads the result, or returns all mistakes. `validate` checks what was read.
pub fn load<T: DeserializeOwned>(
    schema: &Schema,
    file: Option<File<'_>>,
    environment: impl IntoIterator<Item = (String, String)>,
    validate: impl Fn(&T) -> Vec<InvalidSetting>,
) -> Result<T, Mistakes> {
    let (mut settings, mut mistakes) =
        file.map_or_else(Default::default, |(name, text)| schema::read(name, text, schema));
    for (name, value) in environment {
        match name.strip_prefix(PREFIX).map(|path| from_environment(schema, &name, path, &value)) {
            Some(Ok(setting)) => settings.push(setting),
            Some(Err(mistake)) => mistakes.push(mistake),
            None => {}
        }
    }
    // What cannot be read keeps its default, so that the rest is checked nevertheless.
    settings.retain(|setting| match unreadable::<T>(schema, setting) {
        Some(mistake) => {
            mistakes.push(mistake);
            false
        }
        None => true,
    });
    let mut merged = schema.example.clone();
    for setting in &settings {
        put(&mut merged, &setting.path, setting.value.clone());
    }
    for setting in &settings {
        // A key of the shipped file that ends in `_file` is itself the setting: its value is a file's name.
        if !schema.has(&setting.path) {
            mistakes.extend(read_file(&mut merged, setting).err());
        }
    }
    let name = file.map_or("the shipped defaults", |(name, _)| name);
    let whole = Value::Table(merged).try_into::<T>();
    match &whole {
        Ok(whole) => mistakes.extend(validate(whole).into_iter().map(|invalid| mistake_of(invalid, &settings, name))),
        Err(error) if mistakes.is_empty() => {
            let message = error.message().to_owned();
            mistakes.push(Mistake { origin: start_of(name), message, hint: None });
        }
        Err(_) => {}
    }
    match whole {
        Ok(whole) if mistakes.is_empty() => Ok(whole),
        _ => Err(Mistakes(mistakes)),
    }
}

/// The mistake of an invalid value, in the layer that set it.
fn mistake_of((key, message): InvalidSetting, settings: &[Setting], file: &str) -> Mistake {
    let is_in_table = |setting: &&Setting| setting.key().strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
    let set = settings.iter().rfind(|setting| setting.key() == key);
    let set = set.or_else(|| settings.iter().find(is_in_table));
    let origin = set.map_or_else(|| start_of(file), |setting| setting.origin.clone());
    Mistake { origin, message: format!("`{key}`: {message}"), hint: None }
}

fn start_of(file: &str) -> Origin {
    Origin::File(file.to_owned(), TextPosition::START)
}

fn from_environment(schema: &Schema, name: &str, path: &str, value: &str) -> Result<Setting, Mistake> {
    let origin = Origin::EnvironmentVariable(name.to_owned());
    let mut path: Vec<String> = path.split("__").map(str::to_lowercase).collect();
    if let Some((key, tables)) = path.split_last_mut()
        && schema.open.contains(&tables.join(".").as_str())
    {
        // Free keys are librdkafka's names: they have dots, which the name of a variable cannot have.
        let (stem, ending) = key.strip_suffix(FILE_ENDING).map_or((key.as_str(), ""), |stem| (stem, FILE_ENDING));
        *key = stem.replace('_', ".") + ending;
    }
    let Some(known) = schema.known(&path) else {
        let message = format!("unknown key `{}`", path.join("."));
        return Err(Mistake { origin, message, hint: Some(schema.hint(&path)) });
    };
    let parsed = match &known {
        Value::String(_) => Some(Value::String(value.to_owned())),
        Value::Array(_) if !value.trim_start().starts_with('[') => {
            Some(Value::Array(value.split(',').map(|part| Value::String(part.trim().to_owned())).collect()))
        }
        Value::Table(_) => None,
        _ => format!("value = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("value")),
    };
    match parsed.filter(|parsed| schema::same_type(parsed, &known)) {
        Some(value) => Ok(Setting { path, value, origin }),
        None => {
            let found = if is_secret(&path) { "another value".into() } else { format!("{value:?}") };
            let message = format!("`{}`: expected {}, found {found}", path.join("."), schema::type_name(&known));
            Err(Mistake { origin, message, hint: None })
        }
    }
}

/// The mistake of a value that has the right type but cannot be read. It is tried alone on top of the defaults, so that
/// the error is known to be its own.
fn unreadable<T: DeserializeOwned>(schema: &Schema, setting: &Setting) -> Option<Mistake> {
    let mut alone = schema.example.clone();
    put(&mut alone, &setting.path, setting.value.clone());
    let error = Value::Table(alone).try_into::<T>().err()?;
    let message = if is_secret(&setting.path) { "not a value that can be used" } else { error.message() };
    let message = format!("`{}`: {message}", setting.key());
    Some(Mistake { origin: setting.origin.clone(), message, hint: None })
}

/// Replaces a key that ends in `_file` by the key without that ending, whose value is the content of the file.
fn read_file(merged: &mut Table, setting: &Setting) -> Result<(), Mistake> {
    let Some((key, tables)) = setting.path.split_last() else { return Ok(()) };
    let (Some(stem), Value::String(file)) = (key.strip_suffix(FILE_ENDING), &setting.value) else { return Ok(()) };
    if file.is_empty() {
        return Ok(());
    }
    let content = std::fs::read_to_string(Path::new(file)).map_err(|error| {
        let message = format!("`{}`: cannot read {file}: {error}", setting.key());
        Mistake { origin: setting.origin.clone(), message, hint: Some("the file contains the value alone".into()) }
    })?;
    let mut path = tables.to_vec();
    remove(merged, &setting.path);
    path.push(stem.to_owned());
    put(merged, &path, Value::String(content.trim_end_matches(['\r', '\n']).to_owned()));
    Ok(())
}

fn put(table: &mut Table, path: &[String], value: Value) {
    match path {
        [] => {}
        [key] => {
            table.insert(key.clone(), value);
        }
        [name, rest @ ..] => {
            let inner = table.entry(name.clone()).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

fn remove(table: &mut Table, path: &[String]) {
    match path {
        [] => {}
        [key] => {
            table.remove(key);
        }
        [name, rest @ ..] => {
            if let Some(Value::Table(inner)) = table.get_mut(name) {
                remove(inner, rest);
            }
        }
    }
}

/// Whether the name of a key looks like that of a secret, whose value must not be shown.
fn is_secret(path: &[String]) -> bool {
    let key = path.last().map_or("", String::as_str);
    !key.ends_with(FILE_ENDING) && ["password", "secret", "token", "pem", "jaas"].iter().any(|word| key.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shop {
        door: Door,
        client: BTreeMap<String, String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Door {
        name: String,
        width: u8,
        open: bool,
        hands: Vec<String>,
        material: Material,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Material {
        Wood,
        Glass,
    }

    const SHIPPED: &str =
        "[door]\nname = \"front\"\nwidth = 90\nopen = true\nhands = [\"left\"]\nmaterial = \"wood\"\n[client]\n";

    fn shop(file: &str, environment: &[(&str, &str)]) -> Result<Shop, String> {
        let schema = Schema { example: SHIPPED.parse().unwrap(), open: &["client"] };
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let narrow = |shop: &Shop| match shop.door.width {
            0..60 => vec![("door.width", "expected at least 60".to_owned())],
            _ => Vec::new(),
        };
        load(&schema, Some(("shop.toml", file)), environment, narrow).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn the_file_goes_over_the_defaults_and_the_environment_over_both() {
        let file = "[door]\nwidth = 80\nopen = false\n[client]\n\"a.b\" = \"x\"\n";
        let environment = [
            ("SHOAL__DOOR__OPEN", "true"),
            ("SHOAL__DOOR__HANDS", "left, right"),
            ("SHOAL__DOOR__NAME", "12"),
            ("SHOAL__CLIENT__C_D", "y"),
            ("PATH", "/bin"),
        ];
        let shop = shop(file, &environment).unwrap();
        let hands = vec!["left".into(), "right".into()];
        assert_eq!(shop.door, Door { name: "12".into(), width: 80, open: true, hands, material: Material::Wood });
        assert_eq!(shop.client, BTreeMap::from([("a.b".into(), "x".into()), ("c.d".into(), "y".into())]));
    }

    #[test]
    fn every_mistake_has_its_origin() {
        let file = "[door]\nwidht = 80\nwidth = 300\nmaterial = \"steel\"\nopen = \"yes\"\nhands = [1]\n[dor]\n[client]\na = 1\n";
        let environment =
            [("SHOAL__DOOR__WIDTH", "wide"), ("SHOAL__DOOR__MATERIA", "wood"), ("SHOAL__DOOR__MATERIAL", "tin")];
        let message = shop(file, &environment).unwrap_err();
        for expected in [
            "shop.toml:2:1: unknown key `door.widht`; did you mean `width`?",
            "shop.toml:3:9: `door.width`: invalid value: integer `300`, expected u8",
            "shop.toml:4:12: `door.material`: unknown variant `steel`, expected `wood` or `glass`",
            "shop.toml:5:8: `door.open`: expected true or false, found text; for example open = true",
            "shop.toml:6:9: `door.hands`: expected a list of texts, found a list of integers; for example hands = [\"left\"]",
            "shop.toml:7:2: unknown key `dor`; did you mean `door`?",
            "shop.toml:9:5: `client.a`: expected text, found an integer",
            "environment variable SHOAL__DOOR__WIDTH: `door.width`: expected an integer, found \"wide\"",
            "environment variable SHOAL__DOOR__MATERIA: unknown key `door.materia`; did you mean `material`?",
            "environment variable SHOAL__DOOR__MATERIAL: `door.material`: unknown variant `tin`, expected `wood` or `glass`",
        ] {
            assert!(message.lines().any(|line| line == expected), "{expected}\nis not in\n{message}");
        }
        assert_eq!(message.lines().count(), 10, "{message}");
    }

    #[test]
    fn a_value_that_cannot_be_read_does_not_hide_one_that_cannot_be_used() {
        let message = shop("[door]\nwidth = 10\nmaterial = \"steel\"\n", &[]).unwrap_err();
        let lines: Vec<&str> = message.lines().collect();
        let expected = [
            "shop.toml:3:12: `door.material`: unknown variant `steel`, expected `wood` or `glass`",
            "shop.toml:2:9: `door.width`: expected at least 60",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn secrets_come_from_files_and_are_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "hunter2\n").unwrap();
        let secret = secret.to_str().unwrap();
        let expected = BTreeMap::from([("sasl.password".to_owned(), "hunter2".to_owned())]);
        let by_file = shop(&format!("[client]\n\"sasl.password_file\" = {secret:?}\n"), &[]).unwrap();
        assert_eq!(by_file.client, expected);
        let by_environment = shop("", &[("SHOAL__CLIENT__SASL_PASSWORD_FILE", secret)]).unwrap();
        assert_eq!(by_environment.client, expected);
        let missing = shop("[client]\n\"sasl.password_file\" = \"/nowhere\"\n", &[]).unwrap_err();
        assert!(missing.starts_with("shop.toml:2:24: `client.sasl.password_file`: cannot read /nowhere"), "{missing}");
        assert!(!shop("[client]\n\"sasl.password\" = 77123\n", &[]).unwrap_err().contains("77123"));
    }

    #[test]
    fn an_invalid_value_is_a_mistake_of_the_layer_that_set_it() {
        let by_file = shop("[door]\nwidth = 10\n", &[]).unwrap_err();
        assert_eq!(by_file, "shop.toml:2:9: `door.width`: expected at least 60");
        let by_environment = shop("[door]\nwidth = 10\n", &[("SHOAL__DOOR__WIDTH", "20")]).unwrap_err();
        assert_eq!(by_environment, "environment variable SHOAL__DOOR__WIDTH: `door.width`: expected at least 60");
    }

    #[test]
    fn invalid_toml_is_a_mistake_with_its_position() {
        let message = shop("[door]\nwidth = \nopen = false\n", &[]).unwrap_err();
        assert!(message.starts_with("shop.toml:2:"), "{message}");
    }
}
