use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::config::tests::full;
use crate::config::{Config, ConfigErrors, Problem, document, json};

/// The bytes that the module received, from Envoy 1.36.2 and 1.40.0 alike, for
/// `{"z": [1.5, null, true, false, "ä\n", [], {}], "a": {"b": "c"}}`.
const FROM_ENVOY: &[u8] = b"\n-\n\x01z\x12(2&\n\t\x11\0\0\0\0\0\0\xf8?\n\x02\x08\0\n\x02 \x01\n\x02 \0\
    \n\x05\x1a\x03\xc3\xa4\n\n\x022\0\n\x02*\0\n\x11\n\x01a\x12\x0c*\n\n\x08\n\x01b\x12\x03\x1a\x01c";

/// A Struct of the entries of `json`, every number 1.5.
fn encode(json: &Json) -> Vec<u8> {
    match json {
        Json::Object(entries) => entries.iter().flat_map(|(key, json)| entry(key, json)).collect(),
        _ => panic!("no object"),
    }
}

fn entry(key: &str, json: &Json) -> Vec<u8> {
    bytes(0x0a, &[bytes(0x0a, key.as_bytes()), bytes(0x12, &value(json))].concat())
}

fn value(json: &Json) -> Vec<u8> {
    match json {
        Json::Null => vec![0x08, 0],
        Json::Number => [&[0x11][..], &1.5_f64.to_le_bytes()].concat(),
        Json::Text(text) => bytes(0x1a, text.as_bytes()),
        Json::Bool(bit) => vec![0x20, u8::from(*bit)],
        Json::Object(_) => bytes(0x2a, &encode(json)),
        Json::List(items) => {
            let items: Vec<u8> = items.iter().flat_map(|item| bytes(0x0a, &value(item))).collect();
            bytes(0x32, &items)
        }
    }
}

fn bytes(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![tag];
    let mut length = bytes.len();
    while length > 0x7f {
        field.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    field.push(u8::try_from(length).unwrap());
    field.extend_from_slice(bytes);
    field
}

#[test]
fn what_envoy_hands_over_is_read() {
    let read: Json =
        serde_json::from_str(r#"{"z": [1.5, null, true, false, "ä\n", [], {}], "a": {"b": "c"}}"#)
            .unwrap();
    assert_eq!(document::parse(FROM_ENVOY), Ok(read.clone()));
    // So the encoder here writes what Envoy does.
    assert_eq!(encode(&read), FROM_ENVOY);
}

#[test]
fn an_entry_may_have_its_value_first_or_no_key() {
    let read = |bytes: &[u8]| decode(bytes).unwrap();
    let object = |key: &str| Json::Object(vec![(key.to_owned(), Json::Bool(true))]);
    assert_eq!(read(b"\n\x07\x12\x02\x20\x01\n\x01a"), object("a"));
    assert_eq!(read(b"\n\x04\x12\x02\x20\x01"), object(""));
    // A length in more bytes than it needs.
    assert_eq!(read(b"\n\x87\0\n\x01a\x12\x02\x20\x01"), object("a"));
}

#[test]
fn what_is_no_struct_is_refused() {
    let messages: &[(&str, &[u8])] = &[
        (
            "a TypedStruct",
            b"\n*type.googleapis.com/google.protobuf.Struct\x12\x09\n\x07\n\x01a\x12\x02\x20\x01",
        ),
        ("a Value", b"*\x09\n\x07\n\x01a\x12\x02\x20\x01"),
        ("another field", b"\n\x07\n\x01a\x12\x02\x20\x01\x12\0"),
        ("another field of an entry", b"\n\x09\n\x01a\x12\x02\x20\x01\x1a\0"),
        ("another field of a value", b"\n\x07\n\x01a\x12\x02\x38\0"),
        ("another field of a list", b"\n\x0b\n\x01a\x12\x062\x04\x12\x02\x20\x01"),
        ("another type of an entry", b"\x08\x12"),
        ("another type of a value", b"\n\x07\n\x01a\x12\x02\x18\0"),
        ("a key twice in an entry", b"\n\x0a\n\x01a\n\x01a\x12\x02\x20\x01"),
        ("a value twice in an entry", b"\n\x0b\n\x01a\x12\x02\x20\x01\x12\x02\x20\x01"),
        ("an entry without value", b"\n\x03\n\x01a\n\x04\x12\x02\x20\x01"),
        ("a value of no kind", b"\n\x05\n\x01a\x12\0"),
        ("a value of two kinds", b"\n\x09\n\x01a\x12\x04\x20\x01\x20\x01"),
        ("a bool that is no bit", b"\n\x07\n\x01a\x12\x02\x20\x02"),
        ("a null that is none", b"\n\x07\n\x01a\x12\x02\x08\x01"),
        ("a key that is not UTF-8", b"\n\x07\n\x01\xff\x12\x02\x20\x01"),
        ("a text that is not UTF-8", b"\n\x08\n\x01a\x12\x03\x1a\x01\xff"),
        ("a length beyond the end", b"\n\x08\n\x01a\x12\x02\x20\x01"),
        ("a length beyond memory", b"\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x12"),
        ("a number of eleven bytes", b"\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x12"),
        ("half a double", b"\n\x0a\n\x01a\x12\x05\x11\0\0\0\0"),
        ("a group", b"\x0b\x12\0\x0c"),
    ];
    for (what, message) in messages {
        assert_eq!(document::parse(message), Err(Problem::NotStruct), "{what}");
    }
}

/// The only mistake, with its field.
fn only(errors: &ConfigErrors) -> (String, Problem) {
    assert_eq!(errors.iter().count(), 1, "{errors}");
    errors.iter().map(|error| (error.field.clone(), error.problem)).next().unwrap()
}

#[test]
fn a_configuration_is_the_same_as_a_struct_and_as_json() {
    let text = full().to_string();
    let message = encode(&json::parse(text.as_bytes()).unwrap());
    let from_struct = Config::parse(&message).unwrap();
    assert_eq!(
        format!("{from_struct:?}"),
        format!("{:?}", Config::parse(text.as_bytes()).unwrap())
    );
    let hidden = [&from_struct, &Config::parse(text.as_bytes()).unwrap()].map(|config| {
        let Ok(Some(secret)) = config.sources[3].credential.authorization(|_| None) else {
            panic!("a literal token");
        };
        secret.expose().to_owned()
    });
    assert_eq!(hidden, ["Bearer hidden-token"; 2]);
}

#[test]
fn a_struct_has_the_rules_and_limits_of_json() {
    let text = |text: &str| Json::Text(text.to_owned());
    let refuse = |message: &[u8]| only(&Config::parse(message).unwrap_err());
    let twice = [entry("scope", &text("a")), entry("scope", &text("b"))].concat();
    assert_eq!(refuse(&twice), ("scope".to_owned(), Problem::Twice));
    let wrong = Problem::WrongType { expected: "a list" };
    assert_eq!(refuse(&entry("paths", &Json::Number)), ("paths".to_owned(), wrong));
    let large = entry("scope", &text(&"a".repeat(limits::CONFIG_BYTES)));
    let most = limits::CONFIG_BYTES;
    assert_eq!(refuse(&large), (String::new(), Problem::TooLarge { most }));
    let unknown = Config::parse(FROM_ENVOY).unwrap_err();
    let unknown: Vec<_> = unknown.iter().map(|it| (it.field.as_str(), it.problem)).collect();
    assert_eq!(unknown, [("z", Problem::UnknownField), ("a", Problem::UnknownField)]);
}

#[test]
fn json_behind_an_empty_line_is_json() {
    assert_eq!(Config::parse(b"\n\n{\"scope\": \"a\"}").unwrap().scope, "a");
    let (_, problem) = only(&Config::parse(b"\n{\"scope\" }").unwrap_err());
    assert_eq!(problem, Problem::NotJson { line: 2, column: 10 });
}

/// `depth` lists within each other, all in an object.
fn nested_lists(depth: usize) -> Json {
    let list = (1..depth).fold(Json::List(Vec::new()), |inner, _| Json::List(vec![inner]));
    Json::Object(vec![(String::new(), list)])
}

fn nested_objects(depth: usize) -> Json {
    let object = Json::Object(Vec::new());
    (1..depth).fold(object, |inner, _| Json::Object(vec![(String::new(), inner)]))
}

#[test]
fn a_struct_may_be_as_deep_as_json_may() {
    const MOST: usize = limits::CONFIG_DEPTH;
    for fits in [nested_objects(MOST), nested_lists(MOST - 1)] {
        assert_eq!(decode(&encode(&fits)), Some(fits));
    }
    assert_eq!(decode(&encode(&nested_objects(MOST + 1))), None);
    assert_eq!(decode(&encode(&nested_lists(MOST))), None);
    let lists =
        |depth| json::parse(format!("{}{}", "[".repeat(depth), "]".repeat(depth)).as_bytes());
    assert!(lists(MOST).is_ok());
    assert!(matches!(lists(MOST + 1), Err(Problem::NotJson { .. })));
    // Far deeper than the stack could be.
    let deep =
        (0..10_000).fold(vec![0x2a, 0], |inner, _| bytes(0x2a, &bytes(0x0a, &bytes(0x12, &inner))));
    assert_eq!(decode(&bytes(0x0a, &bytes(0x12, &deep))), None);
}

/// Objects, with keys and texts of what JSON is made of.
fn any_object() -> impl Strategy<Value = Json> {
    let text = || prop_oneof!["[ \n\t{}\\[\\]\":,0-9\\x12]{0,4}", ".{0,8}", "a{120,140}"];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        Just(Json::Number),
        text().prop_map(Json::Text),
    ];
    let inner = leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::List),
            vec((text(), inner), 0..4).prop_map(Json::Object),
        ]
    });
    vec((text(), inner), 1..4).prop_map(Json::Object)
}

proptest! {
    #[test]
    fn any_object_is_read_as_it_was_written(object in any_object()) {
        let message = encode(&object);
        prop_assert!(json::parse(&message).is_err());
        prop_assert_eq!(document::parse(&message), Ok(object));
    }

    #[test]
    fn an_entry_cut_anywhere_is_refused(object in any_object(), cut: Index) {
        let message = bytes(0x0a, &[bytes(0x0a, b"key"), bytes(0x12, &value(&object))].concat());
        prop_assert_eq!(decode(&message[..1 + cut.index(message.len() - 1)]), None);
    }

    #[test]
    fn a_struct_with_a_wrong_byte_gives_json_or_nothing(
        object in any_object(),
        place: Index,
        byte: u8,
    ) {
        let mut message = encode(&object);
        let place = place.index(message.len());
        message[place] = byte;
        let _ = decode(&message);
    }

    #[test]
    fn any_bytes_give_json_or_nothing(bytes: Vec<u8>) {
        let _ = decode(&bytes);
    }
}
