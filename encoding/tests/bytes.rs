//! Any bytes may be decoded, and equal keys have equal bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use shmemo_encoding::{DecodeError, EncodeError, Int, Key, MAX_DEPTH, Value};

/// Bytes that look enough like an encoding to come far: tags, small lengths, zeros.
fn likely() -> impl Strategy<Value = Vec<u8>> {
    let tags = b"NifsbtzdnuhDUHqpecTFylmSxMokagrPX\0\x01\x02\x03\x04\x08\xff\x80";
    vec(prop_oneof![4 => prop::sample::select(tags.to_vec()), 1 => any::<u8>()], 0..64)
}

fn key() -> impl Strategy<Value = Key> {
    let leaf = prop_oneof![
        Just(Key::None),
        any::<i64>().prop_map(Key::from),
        any::<i128>().prop_map(Key::from),
        any::<f64>().prop_map(Key::from),
        ".{0,200}".prop_map(Key::from),
        vec(any::<u8>(), 0..300).prop_map(|bytes| Key::from(bytes.as_slice())),
        any::<i64>().prop_map(|days| Key::Date(days.into())),
        any::<i64>().prop_map(|micros| Key::Instant(micros.into())),
        any::<[u8; 16]>().prop_map(Key::Uuid),
        (any::<i64>(), 1..i64::MAX).prop_map(|(above, below)| Key::rational(above, below).unwrap_or(Key::None)),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Key::Tuple),
            vec(inner.clone(), 0..6).prop_map(Key::FrozenSet),
            inner.clone().prop_map(|member| Key::Enum { class: "m:E".into(), member: Box::new(member) }),
            vec(("[a-z]{1,5}", inner), 0..4).prop_map(|fields| Key::Dataclass { class: "m:D".into(), fields }),
        ]
    })
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i128>().prop_map(Value::from),
        any::<f64>().prop_filter("NaN is not equal to itself", |value| !value.is_nan()).prop_map(Value::from),
        ".{0,200}".prop_map(Value::from),
        vec(any::<u8>(), 0..300).prop_map(Value::Bytes),
        any::<i64>().prop_map(|micros| Value::Delta(micros.into())),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::List),
            vec(inner.clone(), 0..6).prop_map(Value::Set),
            vec((inner.clone(), inner), 0..4).prop_map(Value::Dict),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_decode_or_do_not(bytes in prop_oneof![likely(), vec(any::<u8>(), 0..64)]) {
        if let Ok(key) = Key::decode(&bytes) {
            prop_assert_eq!(key.encode().unwrap(), bytes.clone(), "a key has one form");
        }
        if let Ok(value) = Value::decode(&bytes) {
            let again = value.encode().unwrap();
            // Compared as text, as NaN is not equal to itself.
            prop_assert_eq!(format!("{:?}", Value::decode(&again).unwrap()), format!("{value:?}"));
        }
    }

    #[test]
    fn a_key_comes_back_in_its_one_form(key in key()) {
        let bytes = key.encode().unwrap();
        prop_assert_eq!(Key::decode(&bytes).unwrap().encode().unwrap(), bytes);
    }

    #[test]
    fn a_value_comes_back(value in value()) {
        let bytes = value.encode().unwrap();
        prop_assert_eq!(Value::decode(&bytes).unwrap(), value);
    }

    #[test]
    fn every_prefix_of_a_value_is_refused_or_another_value(value in value(), cut in any::<prop::sample::Index>()) {
        let bytes = value.encode().unwrap();
        let _ = Value::decode(&bytes[..cut.index(bytes.len())]);
    }
}

fn bytes_of(key: impl Into<Key>) -> Vec<u8> {
    key.into().encode().unwrap()
}

#[test]
fn equal_numbers_are_one_key() {
    assert_eq!(bytes_of(1), bytes_of(1.0));
    assert_eq!(bytes_of(1), bytes_of(true));
    assert_eq!(bytes_of(0), bytes_of(-0.0));
    assert_eq!(bytes_of((1, 2.0)), bytes_of((true, 2)));
    assert_ne!(bytes_of(1), bytes_of("1"));
    assert_ne!(bytes_of("1"), bytes_of(b"1"));
    assert_ne!(bytes_of(((), "a")), bytes_of((("a",),)));
    // As a float, 2^53 + 1 is 2^53.
    assert_eq!(bytes_of(1i64 << 53), bytes_of(((1i64 << 53) + 1) as f64));
    assert_ne!(bytes_of((1i64 << 53) + 1), bytes_of(((1i64 << 53) + 1) as f64));
    assert_eq!(bytes_of(10i128.pow(22)), bytes_of(1e22));
}

#[test]
fn all_nans_are_one_key() {
    let other = f64::from_bits(0xfff8_0000_0000_0001);
    assert_eq!(bytes_of(f64::NAN), bytes_of(other));
}

#[test]
fn fractions_are_in_lowest_terms() {
    let of = |above, below| Key::rational(above, below).unwrap().encode().unwrap();
    assert_eq!(of(1, 3), of(-2, -6));
    assert_eq!(of(1, 2), bytes_of(0.5));
    assert_eq!(of(6, 3), bytes_of(2));
    assert_eq!(Key::rational(1, 0), None);
}

#[test]
fn the_order_of_a_set_does_not_matter() {
    let of = |items: [i64; 3]| Key::FrozenSet(items.map(Key::from).to_vec()).encode().unwrap();
    assert_eq!(of([1, 300, -5]), of([300, -5, 1]));
    assert_eq!(of([1, 1, 2]), Key::FrozenSet(vec![2.into(), 1.into()]).encode().unwrap());
}

#[test]
fn what_is_nested_too_deep_is_an_error_on_both_ways() {
    let (mut key, mut value) = (Key::from(1), Value::from(1));
    for _ in 0..MAX_DEPTH {
        (key, value) = (Key::Tuple(vec![key]), Value::List(vec![value]));
    }
    let (key_bytes, value_bytes) = (key.encode().unwrap(), value.encode().unwrap());
    assert!(Key::decode(&key_bytes).is_ok() && Value::decode(&value_bytes).is_ok());
    assert_eq!(Key::Tuple(vec![key]).encode(), Err(EncodeError::TooDeep));
    assert_eq!(Value::List(vec![value]).encode(), Err(EncodeError::TooDeep));

    let wrap = |tag: u8, inner: Vec<u8>| {
        let mut out = vec![tag];
        shmemo_encoding::wire::put_len(&mut out, inner.len());
        out.extend(inner);
        out
    };
    assert_eq!(Key::decode(&wrap(b't', key_bytes)), Err(DecodeError::TooDeep));
    assert_eq!(Value::decode(&wrap(b'l', value_bytes)), Err(DecodeError::TooDeep));
}

#[test]
fn only_an_integer_takes_eight_bytes_as_a_value() {
    for value in [Value::from("1234567"), Value::from(b"1234567"), Value::from(7)] {
        let bytes = value.encode().unwrap();
        assert_eq!(bytes.len() == 8, value == Value::from(7));
        assert_eq!(Value::decode(&bytes).unwrap(), value);
    }
    let large = Int::from(i128::from(i64::MAX) + 1);
    assert_eq!(Value::decode(&Value::from(large.clone()).encode().unwrap()).unwrap(), Value::Int(large));
}
