//! The decision about each shape of query, with the rule that it follows from.

use super::decided;

/// Where a rule is documented.
enum Rule {
    /// "Index types": the automatic indexes and the queries that they support.
    Automatic,
    /// "Index types", exemptions.
    Exemption,
    /// "Index types", queries supported by composite indexes, and index modes.
    Composite,
    /// "Index types", index merging.
    Merge,
    /// "Index types", query scopes, and queries supported by collection group indexes.
    Scopes,
    /// "Index types", default ordering and `__name__`; `Index.fields` of the Admin API.
    Name,
    /// "Query limitations" and the protocol: the orders that inequalities imply.
    Implied,
    /// "Perform OR queries": each alternative is served by itself.
    Alternatives,
    /// "Index properties": fields of aggregations come last.
    Aggregation,
}
use Rule::{
    Aggregation, Alternatives, Automatic, Composite, Exemption, Implied, Merge, Name, Scopes,
};

/// Query, index file, decision, source.
const CASES: &[(&str, &str, &str, Rule)] = &[
    // Automatic indexes.
    ("c", "", "ok", Automatic),
    ("c where a ==", "", "ok", Automatic),
    ("c where a >", "", "ok", Automatic),
    ("c where a > & a <", "", "ok", Automatic),
    ("c where a !=", "", "ok", Automatic),
    ("c where a in", "", "ok", Automatic),
    ("c where a not-in", "", "ok", Automatic),
    ("c where a null", "", "ok", Automatic),
    ("c where a nan", "", "ok", Automatic),
    ("c where a not-null", "", "ok", Automatic),
    ("c where t contains", "", "ok", Automatic),
    ("c where t any", "", "ok", Automatic),
    ("c where m.x ==", "", "ok", Automatic),
    ("c order a", "", "ok", Automatic),
    ("c order -a", "", "ok", Automatic),
    ("c where a > order a", "", "ok", Automatic),
    ("c where a > order -a", "", "ok", Automatic),
    ("c where a == order a", "", "ok", Automatic),
    // Equalities are merged.
    ("c where a == & b ==", "", "ok", Merge),
    ("c where a == & b == & d == & e ==", "", "ok", Merge),
    ("c where a == & t contains", "", "ok", Merge),
    ("c where a in & b ==", "", "ok", Merge),
    ("c where a in & t any", "", "ok", Merge),
    ("c where a == & b == order s", "c(a,s) c(b,s)", "ok", Merge),
    ("c where a == & b == & d == order s", "c(a,s) c(b,s) c(d,s)", "ok", Merge),
    ("c where a == & b == & d == order s", "c(a,b,s) c(b,d,s)", "ok", Merge),
    ("c where a == & b == & d == order s", "c(a,s) c(b,s)", "c(a,b,d,s)", Merge),
    ("c where a == & b == order s", "c(a,s) c(b,-s)", "c(a,b,s)", Merge),
    ("c where a == & b == order s", "c(a,s)", "c(a,b,s)", Merge),
    ("c where a == & t contains order s", "c(a,s) c(t[],s)", "ok", Merge),
    ("c where a == & b == order s u", "c(a,s,u) c(b,s)", "c(a,b,s,u)", Merge),
    // Composite indexes.
    ("c where a == order s", "", "c(a,s)", Composite),
    ("c where a == order s", "c(a,s)", "ok", Composite),
    ("c where a == order s", "c(-a,s)", "ok", Composite),
    ("c where a == order -s", "c(a,-s)", "ok", Composite),
    ("c where a == order -s", "c(a,s)", "c(a,-s)", Composite),
    ("c where a == order s", "c(s,a)", "c(a,s)", Composite),
    ("c where a == order s", "c(a,s,u)", "c(a,s)", Composite),
    ("c where a == order s u", "c(a,s)", "c(a,s,u)", Composite),
    ("c where a == & b == order s", "c(b,a,s)", "ok", Composite),
    ("c where a == & b == order s", "c(a,b,s)", "ok", Composite),
    ("c where a == & s >", "", "c(a,s)", Composite),
    ("c where a == & s >", "c(a,s)", "ok", Composite),
    ("c where a in & s >", "c(a,s)", "ok", Composite),
    ("c where a in & s > order -s", "c(a,s)", "c(a,-s)", Composite),
    ("c where a == & s !=", "", "c(a,s)", Composite),
    ("c where a == & s not-in", "c(a,s)", "ok", Composite),
    ("c where t contains order s", "", "c(t[],s)", Composite),
    ("c where t contains order s", "c(t[],s)", "ok", Composite),
    ("c where t any order -s", "c(t[],-s)", "ok", Composite),
    ("c where t contains order s", "c(t,s)", "c(t[],s)", Composite),
    ("c where t == order s", "c(t[],s)", "c(t,s)", Composite),
    ("c order s -u", "c(s,-u)", "ok", Composite),
    ("c order s -u", "c(s,u)", "c(s,-u)", Composite),
    ("c order -s u", "c(s,-u)", "c(-s,u)", Composite),
    ("c order s u", "", "c(s,u)", Composite),
    ("c where a == & b == order a s", "c(b,a,s)", "ok", Composite),
    // Inequalities imply orders.
    ("c where s > & u >", "", "c(s,u)", Implied),
    ("c where s > & u >", "c(s,u)", "ok", Implied),
    ("c where s > & u >", "c(u,s)", "c(s,u)", Implied),
    ("c where s > & u > order u", "c(u,s)", "ok", Implied),
    ("c where s > & u > order -u", "c(-u,-s)", "ok", Implied),
    ("c where s > & u > order -u", "c(-u,s)", "c(-u,-s)", Implied),
    ("c where u > order s u", "c(s,u)", "ok", Implied),
    ("c where u > order s", "c(s,u)", "ok", Implied),
    ("c where a == & s > & u < order u -s", "c(a,u,-s)", "ok", Implied),
    // Names.
    ("c order __name__", "", "ok", Name),
    ("c order -__name__", "", "c(-__name__)", Name),
    ("c order -__name__", "__name__:-", "ok", Name),
    ("c where __name__ ==", "", "ok", Name),
    ("c where __name__ >", "", "ok", Name),
    ("c where __name__ == & a ==", "", "ok", Name),
    ("c where a == order __name__", "", "ok", Name),
    ("c where a == order -__name__", "", "ok", Name),
    ("c where t contains order -__name__", "", "ok", Name),
    ("c order s -__name__", "", "c(s,-__name__)", Name),
    ("c order s -__name__", "c(s,-__name__)", "ok", Name),
    ("c order -s __name__", "", "c(-s,__name__)", Name),
    ("c where a == order s -__name__", "c(a,s)", "c(a,s,-__name__)", Name),
    ("c where a == order s -__name__", "c(a,s,-__name__)", "ok", Name),
    ("c where a == order s", "c(a,s,__name__)", "ok", Name),
    ("c where a == & __name__ >", "", "ok", Name),
    // Collection groups.
    ("group c", "", "ok", Scopes),
    ("group c order __name__", "", "ok", Scopes),
    ("group c order -__name__", "__name__:-", "g(-__name__)", Scopes),
    ("group c order -__name__", "__name__:g-", "ok", Scopes),
    ("group c where a ==", "", "g(a)", Scopes),
    ("group c where a ==", "a:+,-,[],g+", "ok", Scopes),
    ("group c where a in", "a:g-", "g(a)", Scopes),
    ("group c where a == order -__name__", "a:g-", "ok", Scopes),
    ("group c order -a", "a:g+", "g(-a)", Scopes),
    ("group c where t contains", "t:+,-,[]", "g(t[])", Scopes),
    ("group c where t contains", "t:g[]", "ok", Scopes),
    ("c where a ==", "a:g+", "c(a)", Scopes),
    ("group c where a == & b ==", "a:g+ b:g+", "ok", Scopes),
    ("group c where a == & b ==", "a:g+", "g(a,b)", Scopes),
    ("group c where a == order s", "c(a,s)", "g(a,s)", Scopes),
    ("group c where a == order s", "g(a,s)", "ok", Scopes),
    ("c where a == order s", "g(a,s)", "c(a,s)", Scopes),
    // Exemptions.
    ("c where a ==", "a:", "c(a)", Exemption),
    ("c order -a", "a:+", "c(-a)", Exemption),
    ("c where a ==", "a:-", "c(a)", Exemption),
    ("c where a == order -__name__", "a:-", "ok", Exemption),
    ("c where a > order -a", "a:-", "ok", Exemption),
    ("c where a == & b ==", "a:", "c(a,b)", Exemption),
    ("c where a == & b ==", "a: c(a,b)", "ok", Exemption),
    ("c where a == order s", "a: s: c(a,s)", "ok", Exemption),
    ("c where m.x ==", "m:", "c(m.x)", Exemption),
    ("c where m.x ==", "m: m.x:+", "ok", Exemption),
    ("c where m.x ==", "m.x.y:", "ok", Exemption),
    ("c where mx ==", "m:", "ok", Exemption),
    ("c where a ==", "*:", "c(a)", Exemption),
    ("c where a ==", "*: a:+,-", "ok", Exemption),
    ("c", "*:", "ok", Exemption),
    ("c where t contains", "t:+,-", "c(t[])", Exemption),
    // Alternatives.
    ("c where a == | b ==", "", "ok", Alternatives),
    ("c where a == | b ==", "b:", "c(b)", Alternatives),
    ("c where a == | b == order s", "c(a,s)", "c(b,s)", Alternatives),
    ("c where a == | b == order s", "c(a,s) c(b,s)", "ok", Alternatives),
    ("c where a == | b == order s", "", "c(a,s) c(b,s)", Alternatives),
    ("c where a == & b == | d ==", "", "ok", Alternatives),
    ("c where a == | s >", "", "c(a,s)", Alternatives),
    ("c where a == | s >", "c(a,s)", "ok", Alternatives),
    ("c where s > | u <", "c(s,u)", "ok", Alternatives),
    ("c where s > | u <", "", "c(s,u)", Alternatives),
    ("c where t contains | a ==", "", "ok", Alternatives),
    ("c where a in & b in order s", "c(a,b,s)", "ok", Alternatives),
    ("group c where a == | b ==", "a:g+", "g(b)", Alternatives),
    // Aggregations.
    ("c sum n", "", "ok", Aggregation),
    ("c sum n", "n:", "c(n)", Aggregation),
    ("c where a == sum n", "", "c(a,n)", Aggregation),
    ("c where a == sum n", "c(a,n)", "ok", Aggregation),
    ("c where a == sum n", "c(a,-n)", "ok", Aggregation),
    ("c where n > sum n", "", "ok", Aggregation),
    ("c where s > sum n", "c(s,n)", "ok", Aggregation),
    ("c where s > sum n", "c(n,s)", "c(s,n)", Aggregation),
    ("c sum m n", "c(n,m)", "ok", Aggregation),
    ("c sum m n", "", "c(m,n)", Aggregation),
    ("c where a == sum a", "", "ok", Aggregation),
];

#[test]
fn every_shape_is_decided_as_documented() {
    let mut wrong = Vec::new();
    for (query, indexes, expected, _) in CASES {
        let got = decided(query, indexes);
        if got != *expected {
            wrong.push(format!("{query} with [{indexes}]: expected {expected}, got {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(CASES.len() >= 60);
}

/// The index that a refusal asks for is an index that serves the query.
#[test]
fn the_missing_index_serves_the_query_that_lacked_it() {
    let mut refused = 0;
    for (query, indexes, expected, _) in CASES.iter().filter(|case| case.2 != "ok") {
        let suggestions = super::super::suggest([&super::shape(query)], &super::indexes(indexes));
        let mut file = super::file(indexes);
        let overrides = file["fieldOverrides"].as_array_mut().unwrap();
        for entry in &suggestions.missing_overrides {
            overrides.retain(|other| other["fieldPath"] != entry["fieldPath"]);
            overrides.push(entry.clone());
        }
        file["indexes"].as_array_mut().unwrap().extend(suggestions.missing.clone());
        let mended = super::Indexes::parse(&file.to_string())
            .unwrap_or_else(|error| panic!("{query} with {expected}: {error}"));
        let decision = mended.decide(&super::shape(query));
        assert!(
            matches!(decision, super::Decision::Served(_)),
            "{query} with [{indexes}] and {suggestions}: {decision:?}"
        );
        refused += 1;
    }
    assert!(refused > 30, "{refused}");
}
