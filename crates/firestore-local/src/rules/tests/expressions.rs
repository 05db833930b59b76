//! Expressions, by the sections of the reference.

use serde_json::json;

use super::*;

/// The outcome that a case expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    True,
    False,
    Error,
}
use Is::{Error, False, True};

/// Evaluates each expression in an update of a document, and compares its outcome.
fn check(cases: &[(&str, Is)]) {
    let world = World {
        before: BTreeMap::from([
            ("users/alice".to_owned(), json!({"role": "admin", "age": 30})),
            ("users/gone".to_owned(), json!({"role": "old"})),
        ]),
        after: BTreeMap::from([
            ("users/alice".to_owned(), json!({"role": "admin", "age": 31})),
            ("users/gone".to_owned(), json!(null)),
            ("users/new".to_owned(), json!({"role": "new"})),
        ]),
    };
    let who = json!({"sub": "alice", "email": "alice@example.com", "email_verified": true,
        "roles": ["editor"], "firebase": {"sign_in_provider": "password"}});
    let before = json!({
        "name": "Ada", "age": 36, "score": 1.5, "tags": ["a", "b"], "nothing": null, "ok": true,
        "address": {"city": "London", "zip": "N1"}, "at": {"$timestamp": "2024-02-01T00:00:00Z"},
        "where": {"$latlng": [51.5, -0.1]}, "raw": {"$bytes": "abc"},
        "friend": {"$path": "/databases/(default)/documents/users/alice"},
    });
    let mut after = before.clone();
    after["age"] = json!(37);
    after["nick"] = json!("A");
    after.as_object_mut().unwrap().remove("ok");
    let mut wrong = Vec::new();
    for (expression, expected) in cases {
        let rules = ruled("", expression);
        let states = [before.clone(), after.clone()];
        let decision = ask(&rules, &world, who.clone(), Method::Update, "people/ada", states);
        let found = match outcome(&decision) {
            Some(true) => True,
            Some(false) => False,
            None => Error,
        };
        if found != *expected {
            wrong.push(format!("{expression}: expected {expected:?}, got {decision}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn booleans() {
    check(&[
        ("true", True),
        ("false", False),
        ("!false", True),
        ("!true", False),
        ("!!true", True),
        ("true == true", True),
        ("true != false", True),
        ("true && true", True),
        ("true && false", False),
        ("false || true", True),
        ("false || false", False),
        ("bool('true')", True),
        ("bool('false')", False),
        ("bool('maybe')", Error),
        ("null", Error),
        ("1", Error),
        ("'true'", Error),
        ("!1", Error),
        ("true < false", Error),
    ]);
}

#[test]
fn errors_are_absorbed_by_a_side_that_decides() {
    check(&[
        ("resource.data.missing == 1", Error),
        ("resource.data.missing == 1 || true", True),
        ("true || resource.data.missing == 1", True),
        ("resource.data.missing == 1 || false", Error),
        ("false || resource.data.missing == 1", Error),
        ("resource.data.missing == 1 && false", False),
        ("false && resource.data.missing == 1", False),
        ("resource.data.missing == 1 && true", Error),
        ("true && resource.data.missing == 1", Error),
        ("!(resource.data.missing == 1)", Error),
        ("!(resource.data.missing == 1 && false)", True),
        ("(1 / 0 == 1) || (1 / 0 == 1) || true", True),
        ("(1 / 0 == 1) && (1 / 0 == 1) && false", False),
        ("1 || true", True),
        ("true || 1", True),
        ("1 && false", False),
        ("1 && true", Error),
        ("false || 1", Error),
        ("resource.data.missing ? true : true", Error),
        ("[resource.data.missing].size() == 1", Error),
    ]);
}

#[test]
fn precedence() {
    check(&[
        ("1 + 2 * 3 == 7", True),
        ("(1 + 2) * 3 == 9", True),
        ("10 - 2 - 3 == 5", True),
        ("24 / 4 / 2 == 3", True),
        ("7 % 4 * 2 == 6", True),
        ("-2 + 3 == 1", True),
        ("!true || true", True),
        ("true || false && false", True),
        ("(true || false) && false", False),
        ("false == false || false", True),
        ("1 < 2 == true", True),
        ("2 > 1 == 3 > 2", True),
        ("1 in [1] == true", True),
        ("true == 1 in [1]", True),
        ("1 + 1 in [2]", True),
        ("1 is int == true", True),
        ("1 + 1 is int", True),
        ("1 < 2 is bool", True),
        ("true ? false : true || true", False),
        ("false ? false : true ? true : false", True),
        ("1 == 1 ? true : false", True),
        ("-[1, 2].size() == -2", True),
        ("!'abc'.matches('x')", True),
    ]);
}

#[test]
fn integers_and_floats() {
    check(&[
        ("1 == 1.0", True),
        ("1 != 2", True),
        ("1 < 1.5", True),
        ("2 >= 2.0", True),
        ("7 / 2 == 3", True),
        ("7.0 / 2 == 3.5", True),
        ("-7 / 2 == -3", True),
        ("7 % 3 == 1", True),
        ("7.5 % 2 == 1.5", True),
        ("1 / 0 == 0", Error),
        ("1 % 0 == 0", Error),
        ("9223372036854775807 + 1 > 0", Error),
        ("-9223372036854775807 - 2 < 0", Error),
        ("0x10 == 16", True),
        ("1e3 == 1000", True),
        ("2.5e-1 == 0.25", True),
        ("int('42') == 42", True),
        ("int('4.2') == 4", Error),
        ("int(2.9) == 2", True),
        ("int(-2.9) == -2", True),
        ("float('2.2') == 2.2", True),
        ("float(2) == 2.0", True),
        ("float(true) == 1.0", Error),
        ("'1' == 1", False),
        ("'1' < 2", Error),
        ("1 + '1' == 2", Error),
        ("-'1' == 1", Error),
        ("1 is int", True),
        ("1 is float", False),
        ("1.0 is float", True),
        ("1 is number", True),
        ("1.5 is number", True),
        ("'1' is number", False),
    ]);
}

#[test]
fn strings() {
    check(&[
        ("'a' + 'b' == 'ab'", True),
        ("'a' < 'b'", True),
        ("'B' < 'a'", True),
        ("'abc' >= 'abc'", True),
        ("\"it's\" == 'it\\'s'", True),
        ("'\\u0041\\x42\\n'.size() == 3", True),
        ("'abc'[0] == 'a'", True),
        ("'abc'[3] == 'a'", Error),
        ("'abc'[-1] == 'c'", Error),
        ("'abcdef'[0:3] == 'abc'", True),
        ("'abcdef'[2:2] == ''", True),
        ("'abcdef'[3:7] == 'def'", Error),
        ("'abcdef'[3:2] == ''", Error),
        ("string(true) == 'true'", True),
        ("string(1) == '1'", True),
        ("string(2.0) == '2.0'", True),
        ("string(null) == 'null'", True),
        ("string([1]) == '[1]'", Error),
        ("'ABC'.lower() == 'abc'", True),
        ("'ABC123'.lower() == 'abc123'", True),
        ("'abc'.upper() == 'ABC'", True),
        ("'  a b '.trim() == 'a b'", True),
        ("'user@domain.com'.matches('.*@domain[.]com')", True),
        ("'banana'.matches('.*@domain[.]com')", False),
        ("'abc'.matches('b')", False),
        ("'abc'.matches('a|abc')", True),
        ("'ABC'.matches('(?i)abc')", True),
        ("'abc'.matches('a)|(abc')", Error),
        ("'a'.matches('(')", Error),
        ("'foo'.replace('o', 'a') == 'faa'", True),
        ("'user@domain.com'.replace('@domain.com', '') == 'user'", True),
        ("'ab'.replace('(a)(b)', '\\\\2\\\\1') == 'ba'", True),
        ("'a$'.replace('a', '$1') == '$1$'", True),
        ("'test'.split('/')[0] == 'test'", True),
        ("'a/b/c'.split('/') == ['a', 'b', 'c']", True),
        ("'a1b22c'.split('[0-9]+').size() == 3", True),
        ("'grüße'.size() == 5", True),
        ("'grüße'.toUtf8().size() == 7", True),
        ("'abc'.reverse() == 'cba'", Error),
        ("'abc'.size(1) == 3", Error),
        ("'abc' is string", True),
        ("null is string", False),
    ]);
}

#[test]
fn bytes() {
    check(&[
        ("b'abc'.size() == 3", True),
        ("b'abc' == 'abc'.toUtf8()", True),
        ("b'abc' == 'abc'", False),
        ("b'abc'.toBase64() == 'YWJj'", True),
        ("b'abc'.toHexString() == '616263'", True),
        ("resource.data.raw is bytes", True),
        ("resource.data.raw == b'abc'", True),
        ("b'abc' != b'abd'", True),
        ("b''.size() == 0", True),
        ("b'abc' is string", False),
        ("b'a'.toBase64() == 'YQ=='", True),
        ("b'abc' in [b'abc']", True),
        ("b'abc'.lower() == b'abc'", Error),
        ("b'a' < b'b'", Error),
    ]);
}

#[test]
fn lists() {
    check(&[
        ("[1, 2] == [1, 2]", True),
        ("[1, 2] == [2, 1]", False),
        ("[1, 2] == [1.0, 2.0]", True),
        ("[1, 2,][1] == 2", True),
        ("[1, 2][2] == 2", Error),
        ("['a', 'b', 'c'][0:2] == ['a', 'b']", True),
        ("'a' in ['a', 'b']", True),
        ("'c' in ['a', 'b']", False),
        ("[1, 'a', null, [2]].size() == 4", True),
        ("[].size() == 0", True),
        ("['a', 'b'].concat(['c']) == ['a', 'b', 'c']", True),
        ("['a', 'b'].hasAll(['a'])", True),
        ("['a', 'b'].hasAll(['a', 'c'])", False),
        ("['d', 'e', 'f'].hasAll(['d', 'e'])", True),
        ("['a', 'b'].hasAll([])", True),
        ("['a', 'b'].hasAny(['c', 'd'])", False),
        ("['a', 'b'].hasAny(['a', 'c'])", True),
        ("['a', 'b'].hasAny([])", False),
        ("['a', 'b'].hasOnly(['a', 'c'])", False),
        ("['a', 'b'].hasOnly(['a', 'b', 'c'])", True),
        ("['a', 'b'].hasOnly(['b', 'a'])", True),
        ("['a', 'a', 'b'].hasOnly(['a', 'b', 'b'])", True),
        ("['a', 'a', 'b'].hasOnly(['a', 'b', 'b', 'c'])", True),
        ("['a', 'b'].join('-') == 'a-b'", True),
        ("[1, true].join(',') == '1,true'", True),
        ("[[1]].join(',') == '1'", Error),
        ("['a', 'b', 'a'].removeAll(['a']) == ['b']", True),
        ("['a', 'a', 'b'].toSet() == ['b', 'a'].toSet()", True),
        ("[1, 1.0].toSet().size() == 1", True),
        ("[1] is list", True),
        ("['a'].hasAll('a')", Error),
        ("'a' in 'abc'", Error),
    ]);
}

#[test]
fn sets() {
    check(&[
        ("['a', 'b'].toSet().difference(['a', 'c'].toSet()) == ['b'].toSet()", True),
        ("['a', 'b'].toSet().intersection(['a', 'c'].toSet()) == ['a'].toSet()", True),
        ("['a', 'b'].toSet().union(['a', 'c'].toSet()) == ['a', 'b', 'c'].toSet()", True),
        ("['a', 'b'].toSet().hasAll(['a', 'c'])", False),
        ("['d', 'e', 'f'].toSet().hasAll(['d', 'e'])", True),
        ("['a', 'b'].toSet().hasAny(['c', 'd'].toSet())", False),
        ("['a', 'b'].toSet().hasAny(['a', 'c'].toSet())", True),
        ("['a', 'b'].toSet().hasOnly(['a', 'c'])", False),
        ("['a', 'b'].toSet().hasOnly(['a', 'b', 'c'])", True),
        ("['a', 'b'].toSet().hasOnly(['b', 'a'])", True),
        ("['a', 'b'].toSet().size() == 2", True),
        ("'a' in ['a'].toSet()", True),
        ("['a'].toSet() == ['a']", False),
        ("['a'].toSet() is set", True),
        ("['a'].toSet() is list", False),
        ("['a'].toSet() == ['a', 'a'].toSet()", True),
        ("['a'].toSet().union([].toSet()) == ['a'].toSet()", True),
        ("['a', 'b'].toSet().difference(['a', 'b'].toSet()).size() == 0", True),
        ("[[1], [1]].toSet().size() == 1", True),
        ("['a'].toSet().union(['b'])", Error),
        ("['a'].toSet()[0] == 'a'", Error),
    ]);
}

#[test]
fn maps() {
    check(&[
        ("{'a': 1, 'b': 2} == {'b': 2, 'a': 1}", True),
        ("{'a': 1} == {'a': 2}", False),
        ("{'a': 1}.a == 1", True),
        ("{'a': 1}['a'] == 1", True),
        ("{'a': 1}.b == 1", Error),
        ("{'a': 1}['b'] == 1", Error),
        ("'a' in {'a': 1}", True),
        ("'b' in {'a': 1}", False),
        ("1 in {'a': 1}", Error),
        ("{1: 2}.size() == 1", Error),
        ("{'a': 3, 'b': 2}.get('c', 7) == 7", True),
        ("{'a': [2, 7], 'b': [9, 12]}.get('c', [1, 1]) == [1, 1]", True),
        (
            "{'a': {'a1': {'a2': 5}}, 'b': {'b1': 2, 'b2': {'b3': 65}}}.get(['b', 'b2', 'b3'], 1) == 65",
            True,
        ),
        ("{'a': {'a1': {'a2': 5}}}.get(['b', 'b2', 'b8'], false) == false", True),
        ("{'a': 1}.get(['a', 'b'], 2) == 2", True),
        ("{'a': 1}.get(1, 2) == 2", Error),
        ("{'a': 1}.get([], 2) == 2", Error),
        ("{'a': 1, 'b': 2}.keys().hasOnly(['a', 'b'])", True),
        ("{'a': 1, 'b': 2}.keys() is list", True),
        ("{'a': 1, 'b': 2}.values().hasAll([1, 2])", True),
        ("{'a': 1, 'b': 2}.size() == 2", True),
        ("{}.size() == 0", True),
        ("{'a': 1} is map", True),
        ("resource.data.address.city == 'London'", True),
        ("resource.data.address.keys().hasAll(['city', 'zip'])", True),
        ("resource.data.address.city.town == 1", Error),
        ("resource.data.nothing.town == 1", Error),
    ]);
}

#[test]
fn differences_of_maps() {
    check(&[
        ("{'a': 1, 'b': 2}.diff({'a': 1}).addedKeys() == ['b'].toSet()", True),
        ("{'a': 1}.diff({'a': 1, 'b': 2}).removedKeys() == ['b'].toSet()", True),
        ("{'a': 1}.diff({'a': 2}).changedKeys() == ['a'].toSet()", True),
        ("{'a': 1, 'b': 2}.diff({'a': 1, 'b': 3}).unchangedKeys() == ['a'].toSet()", True),
        ("{'a': 1}.diff({'a': 2, 'b': 3}).affectedKeys() == ['a', 'b'].toSet()", True),
        ("{'a': {'b': 1}}.diff({'a': {'b': 2}}).affectedKeys() == ['a'].toSet()", True),
        ("{'a': 1}.diff({'a': 1}).affectedKeys().size() == 0", True),
        ("{}.diff({}) is map_diff", True),
        (
            "request.resource.data.diff(resource.data).affectedKeys().hasOnly(['age', 'nick', 'ok'])",
            True,
        ),
        ("request.resource.data.diff(resource.data).affectedKeys().hasOnly(['age'])", False),
        ("request.resource.data.diff(resource.data).addedKeys() == ['nick'].toSet()", True),
        ("request.resource.data.diff(resource.data).removedKeys() == ['ok'].toSet()", True),
        ("{}.diff(1).addedKeys().size() == 0", Error),
        ("{'a': 1}.diff({'a': 1.0}).unchangedKeys() == ['a'].toSet()", True),
        ("{'a': 1}.diff({}).affectedKeys() is set", True),
    ]);
}

#[test]
fn null_and_types() {
    check(&[
        ("null == null", True),
        ("resource.data.nothing == null", True),
        ("null == false", False),
        ("null != 0", True),
        ("null < 1", Error),
        ("null is null", True),
        ("true is bool", True),
        ("resource.data.at is timestamp", True),
        ("resource.data.where is latlng", True),
        ("resource.data.friend is path", True),
        ("resource.data.score is float", True),
        ("duration.value(1, 's') is duration", True),
        ("resource is map", True),
        ("request.auth.token is map", True),
        ("resource.data.missing is string", Error),
    ]);
}

#[test]
fn paths() {
    check(&[
        ("/users/alice == /users/alice", True),
        ("/users/$('alice') == /users/alice", True),
        ("/users/alice == '/users/alice'", False),
        ("path('/users/alice') == /users/alice", True),
        ("path('users/alice') == /users/alice", True),
        ("/a/b/c[1] == 'b'", True),
        ("/a/b[5] == 'b'", Error),
        ("/a/$(/b/c)/d == /a/b/c/d", True),
        ("/a/$(1 + 1) == /a/$('2')", True),
        ("/a/$(null) == /a", Error),
        ("path('/a/$(x)').bind({'x': 'b'}) == /a/b", True),
        ("path('/a/$(x)').bind({}) == /a/b", Error),
        ("/a/b is path", True),
        ("string(/a/b) == '/a/b'", True),
        ("resource.data.friend == /databases/$(database)/documents/users/alice", True),
        ("resource.data.friend == /databases/(default)/documents/users/alice", True),
        ("resource.__name__ == /databases/$(database)/documents/people/$(id)", True),
        ("resource['__name__'][3] == 'people'", True),
        ("request.path == resource.__name__", True),
        ("request.path[4] == id", True),
        ("path(1) == /a", Error),
        ("/a/b != /a/c", True),
        ("/a/b in [/a/b]", True),
        ("/users/$(request.auth.uid)[1] == 'alice'", True),
    ]);
}

#[test]
fn timestamps() {
    check(&[
        ("request.time.year() == 2024", True),
        ("request.time.month() == 2", True),
        ("request.time.day() == 29", True),
        ("request.time.hours() == 12", True),
        ("request.time.minutes() == 30", True),
        ("request.time.seconds() == 45", True),
        ("request.time.nanos() == 678901000", True),
        ("request.time.dayOfWeek() == 4", True),
        ("request.time.dayOfYear() == 60", True),
        ("request.time.toMillis() == 1709209845678", True),
        ("request.time.date() == timestamp.date(2024, 2, 29)", True),
        ("request.time.time() == duration.time(12, 30, 45, 678901000)", True),
        ("request.time.date() + request.time.time() == request.time", True),
        ("timestamp.value(0) == timestamp.date(1970, 1, 1)", True),
        ("timestamp.value(1709209845678).year() == 2024", True),
        ("timestamp.date(1984, 1, 2).dayOfWeek() == 1", True),
        ("timestamp.date(2023, 12, 31).dayOfWeek() == 7", True),
        ("timestamp.date(2024, 12, 31).dayOfYear() == 366", True),
        ("timestamp.date(1969, 12, 31).day() == 31", True),
        ("timestamp.date(2023, 2, 29).day() == 1", Error),
        ("request.time < timestamp.date(2024, 3, 1)", True),
        ("request.time > resource.data.at", True),
        ("request.time - resource.data.at > duration.value(28, 'd')", True),
        ("request.time - duration.value(29, 'd') < resource.data.at", True),
        ("request.time + duration.value(1, 'd') > request.time", True),
        ("duration.value(1, 'd') + request.time > request.time", True),
        ("request.time == 0", False),
        ("request.time < 0", Error),
        ("request.time + 1 > request.time", Error),
        ("request.time.week() == 1", Error),
        ("timestamp.value(-1).year() == 1969", True),
        ("timestamp.value('0') == request.time", Error),
        ("timestamp.date(2024, 13, 1).day() == 1", Error),
        ("timestamp.date(2000, 2, 29).day() == 29", True),
        ("timestamp.date(1900, 2, 29).day() == 29", Error),
        ("request.time - request.time == duration.value(0, 's')", True),
        ("request.time is duration", False),
        ("request.time in [request.time]", True),
    ]);
}

#[test]
fn durations() {
    check(&[
        ("duration.value(1, 'w') == duration.value(7, 'd')", True),
        ("duration.value(1, 'd') == duration.value(24, 'h')", True),
        ("duration.value(1, 'h') == duration.value(60, 'm')", True),
        ("duration.value(1, 'm') == duration.value(60, 's')", True),
        ("duration.value(1, 's') == duration.value(1000, 'ms')", True),
        ("duration.value(1, 'ms') == duration.value(1000000, 'ns')", True),
        ("duration.value(1, 'y') == duration.value(365, 'd')", Error),
        ("duration.abs(duration.value(-10, 's')) == duration.value(10, 's')", True),
        ("duration.time(1, 2, 3, 4).seconds() == 3723", True),
        ("duration.time(1, 2, 3, 4).nanos() == 4", True),
        ("duration.value(90, 's') - duration.value(30, 's') == duration.value(1, 'm')", True),
        ("duration.value(1, 's') < duration.value(2, 's')", True),
        ("-duration.value(1, 's') == duration.value(-1, 's')", True),
        ("duration.value(1, 's') == 1", False),
        ("duration.value(-90, 's').seconds() == -90", True),
        ("duration.value(1500, 'ms').nanos() == 500000000", True),
        ("duration.value(1.5, 's').seconds() == 1", Error),
        ("duration.value(1, 's') + duration.value(1, 's') == duration.value(2, 's')", True),
        ("duration.value(1, 's') * 2 == duration.value(2, 's')", Error),
        ("duration.abs(1) == 1", Error),
    ]);
}

#[test]
fn coordinates() {
    check(&[
        ("latlng.value(51.5, -0.1) == resource.data.where", True),
        ("latlng.value(10, 20).latitude() == 10.0", True),
        ("latlng.value(10, 20).longitude() == 20.0", True),
        ("latlng.value(91, 0).latitude() == 91.0", Error),
        ("latlng.value(0, 181).latitude() == 0.0", Error),
        ("latlng.value(0, 0).distance(latlng.value(0, 0)) == 0.0", True),
        ("latlng.value(0, 0).distance(latlng.value(0, 1)) > 111000", True),
        ("latlng.value(0, 0).distance(latlng.value(0, 1)) < 111400", True),
        ("latlng.value(0, 0).distance(1) == 0", Error),
        ("latlng.value(1, 2) == latlng.value(1.0, 2.0)", True),
        ("latlng.value(1, 2) == latlng.value(2, 1)", False),
        ("latlng.value(1, 2) is latlng", True),
        ("latlng.value('1', 2).latitude() == 1.0", Error),
        (
            "latlng.value(0, 0).distance(latlng.value(0, 1)) == latlng.value(0, 1).distance(latlng.value(0, 0))",
            True,
        ),
    ]);
}

#[test]
fn mathematics() {
    check(&[
        ("math.abs(-1) == 1", True),
        ("math.abs(-1.5) == 1.5", True),
        ("math.ceil(1.2) == 2", True),
        ("math.ceil(1.2) is int", True),
        ("math.floor(-1.2) == -2", True),
        ("math.round(1.5) == 2", True),
        ("math.round(1.4) == 1", True),
        ("math.isInfinite(1.0 / 0.0)", True),
        ("math.isInfinite(1.0)", False),
        ("math.isNaN(0.0 / 0.0)", True),
        ("math.isNaN(1)", False),
        ("0.0 / 0.0 == 0.0 / 0.0", False),
        ("math.pow(2, 3) == 8", True),
        ("math.pow(1.5, 2.0) == 2.25", True),
        ("math.sqrt(4.0) == 2.0", True),
        ("math.sqrt('4') == 2", Error),
        ("math.ceil(1.0 / 0.0) == 1", Error),
        ("math.floor(1) is int", True),
        ("math.round(-1.5) == -1", True),
        ("math.isNaN(math.sqrt(-1))", True),
        ("math.pow(2, -1) == 0.5", True),
        ("math.isNaN('x')", Error),
        ("math.abs(-9223372036854775807) == 9223372036854775807", True),
    ]);
}

#[test]
fn hashing() {
    check(&[
        ("hashing.crc32('123456789').toHexString() == 'cbf43926'", True),
        ("hashing.crc32c(b'123456789').toHexString() == 'e3069283'", True),
        ("hashing.md5('abc').toHexString() == '900150983cd24fb0d6963f7d28e17f72'", True),
        ("hashing.md5('abc') == hashing.md5(b'abc')", True),
        ("hashing.sha256('abc').size() == 32", True),
        ("hashing.sha256('abc').toHexString()[0:8] == 'ba7816bf'", True),
        ("hashing.sha256('abc') is bytes", True),
        ("hashing.md5(1).size() == 16", Error),
        ("hashing.sha256(b'abc') == hashing.sha256('abc')", True),
        ("hashing.crc32('').toHexString() == '00000000'", True),
        ("hashing.md5('').toHexString() == 'd41d8cd98f00b204e9800998ecf8427e'", True),
    ]);
}

#[test]
fn the_request() {
    check(&[
        ("request.auth != null", True),
        ("request.auth.uid == 'alice'", True),
        ("request.auth.token.email == 'alice@example.com'", True),
        ("request.auth.token.email.matches('.*@example[.]com')", True),
        ("request.auth.token.email_verified", True),
        ("request.auth.token.sub == request.auth.uid", True),
        ("request.auth.token.firebase.sign_in_provider == 'password'", True),
        ("request.auth.token.roles.hasAny(['editor', 'admin'])", True),
        ("request.auth.token.phone_number == 'x'", Error),
        ("'phone_number' in request.auth.token", False),
        ("request.auth.token.get('admin', false)", False),
        ("request.method == 'update'", True),
        ("request.method in ['create', 'update']", True),
        ("request.time is timestamp", True),
        ("request.query.limit <= 10", Error),
        ("resource.id == 'ada'", True),
        ("resource.id == id", True),
        ("collection == 'people'", True),
        ("database == '(default)'", True),
        ("resource.data.age == 36", True),
        ("request.resource.data.age == 37", True),
        ("request.resource.data.age > resource.data.age", True),
        ("request.resource.id == resource.id", True),
        ("resource.data.name.size() == 3", True),
        ("resource.data['name'] == 'Ada'", True),
        ("resource['data']['name'] == 'Ada'", True),
    ]);
}

#[test]
fn other_documents() {
    let user = "/databases/$(database)/documents/users";
    let cases = [
        ("exists(U/alice)", True),
        ("exists(U/bob)", False),
        ("!exists(U/bob)", True),
        ("get(U/alice).data.role == 'admin'", True),
        ("get(U/$(request.auth.uid)).data.role == 'admin'", True),
        ("get(U/alice).id == 'alice'", True),
        ("get(U/alice).__name__ == U/alice", True),
        ("get(U/bob) == null", True),
        ("get(U/bob).data.role == 'admin'", Error),
        ("get(U/alice).data.age == 30", True),
        ("getAfter(U/alice).data.age == 31", True),
        ("getAfter(U/gone) == null", True),
        ("getAfter(U/new).data.role == 'new'", True),
        ("exists(U/new)", False),
        ("existsAfter(U/new)", True),
        ("existsAfter(U/gone)", False),
        ("exists(U/gone)", True),
        ("get(path('/databases/(default)/documents/users/alice')).data.age == 30", True),
        ("get('users/alice').data.age == 30", Error),
        ("get(/users/alice).data.age == 30", Error),
        ("exists(/databases/other/documents/users/alice)", Error),
        ("debug(1 + 1) == 2", True),
    ];
    for (expression, expected) in cases {
        check(&[(&expression.replace('U', user), expected)]);
    }
}
