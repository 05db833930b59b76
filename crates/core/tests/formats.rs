//! Every stored format that was ever written can still be read. The fixtures of `tests/fixtures` are
//! what the version of that month stored; they are never changed, only added to.

#![expect(clippy::disallowed_methods, reason = "a variable asks for new fixtures to be written")]
#![expect(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use std::path::{Path, PathBuf};

use f0_learning_core::experiment::Baseline;
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::stats::{Samples, Series, Tally, Window};
use f0_learning_core::tuning::{Decision, TuningInput, decide};
use serde_json::{Value, json};

/// The figures of a stored state that must not depend on the version that reads it.
fn figures(kind: &str, bytes: &[u8]) -> Value {
    match kind {
        "series" => {
            let series = Series::decode(bytes).unwrap();
            assert_eq!(Series::decode(&series.encode()).unwrap(), series, "what is read is stored");
            let stats = series.window(Window::SevenDays);
            json!({ "n": stats.n, "successRate": stats.success_rate,
                    "samples": samples(&series.timeline().since(0)) })
        }
        "tally" => {
            let tally = Tally::decode(bytes).unwrap();
            assert_eq!(Tally::decode(&tally.encode()).unwrap(), tally);
            let components: Vec<_> = tally.rewards().unwrap().keys().collect();
            json!({ "n": tally.stats().n, "samples": samples(tally.samples()),
                    "components": components })
        }
        "baseline" => {
            let baseline = Baseline::decode(bytes).unwrap();
            assert_eq!(Baseline::decode(&baseline.encode()).unwrap(), baseline);
            json!({ "control": samples(&baseline.control),
                    "candidate": samples(&baseline.candidate) })
        }
        "decision" => {
            let input = TuningInput::decode(bytes).unwrap();
            assert_eq!(TuningInput::decode(&input.encode()).unwrap(), input);
            // The rule may change; the evidence must be enough for some answer.
            let _: Decision = decide(&input);
            let key = PolicyKey::new(&input.policy_id, input.parent.clone()).unwrap();
            let arms: Vec<_> = input.arms.iter().map(|(arm, it)| json!([arm, it.n()])).collect();
            json!({ "from": key.to_string(), "asOf": input.as_of, "arms": arms,
                    "weights": input.weights })
        }
        other => panic!("{other}"),
    }
}

fn samples(samples: &Samples) -> Value {
    json!({ "reward": samples.reward.n() })
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

#[test]
fn stored_bytes_of_every_earlier_version_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut read = 0;
    for file in below(&folder).iter().flat_map(|month| below(month)) {
        if file.extension().is_some_and(|it| it == "bin") {
            let name = file.file_stem().unwrap().to_str().unwrap();
            let kind = name.split('-').next().unwrap();
            let found = figures(kind, &std::fs::read(&file).unwrap());
            let expected = file.with_extension("json");
            if std::env::var_os("F0_WRITE_FIXTURES").is_some() && !expected.exists() {
                std::fs::write(&expected, serde_json::to_string_pretty(&found).unwrap()).unwrap();
            }
            let expected: Value =
                serde_json::from_str(&std::fs::read_to_string(expected).unwrap()).unwrap();
            assert_eq!(found, expected, "{}", file.display());
            read += 1;
        }
    }
    assert!(read >= 6, "only {read} fixtures were found");
}

#[test]
fn bytes_of_an_unknown_format_are_refused_by_its_number() {
    for bytes in [&[200_u8, 1, 2, 3][..], &[0]] {
        let number = bytes[0].to_string();
        let errors = [
            Series::decode(bytes).unwrap_err().to_string(),
            Tally::decode(bytes).unwrap_err().to_string(),
            Baseline::decode(bytes).unwrap_err().to_string(),
            TuningInput::decode(bytes).unwrap_err().to_string(),
        ];
        assert!(errors.iter().all(|error| error.contains(&number)), "{errors:?}");
    }
}
