use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Options, Rule, Table, TableError, means, run, summary};

const OPTIONS: Options = Options {
    batch: 100,
    batches: 60,
    floor: 0.02,
    step: 1.0,
    swap: None,
    sample_rate: 1.0,
    delay: 0,
};

fn table(rates: &[f64]) -> Table {
    let mut random = StdRng::seed_from_u64(7);
    let arms = (0..rates.len()).map(|arm| format!("model-{arm}")).collect();
    let mut row = || rates.iter().map(|it| f64::from(u8::from(random.random_bool(*it)))).collect();
    Table::new(arms, (0..2_000).map(|_| row()).collect()).unwrap()
}

fn regret(table: &Table, options: &Options, rule: Rule) -> [f64; 2] {
    run(table, options, rule, &mut StdRng::seed_from_u64(1)).regret
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let table = table(&[0.7, 0.9, 0.8]);
    for rule in Rule::ALL {
        let [a, b] =
            [1, 1].map(|seed| run(&table, &OPTIONS, rule, &mut StdRng::seed_from_u64(seed)));
        assert_eq!(a, b, "{rule}");
        assert_eq!(a.weights.len(), OPTIONS.batches);
        assert!(a.weights.iter().all(|it| (it.iter().sum::<f64>() - 1.0).abs() < 1e-12));
    }
}

#[test]
fn learners_lose_less_than_equal_weights_and_uniform_loses_the_mean_gap() {
    let table = table(&[0.6, 0.9, 0.8]);
    let means = table.means();
    let gap = means[1] - means.iter().sum::<f64>() / 3.0;
    let uniform = regret(&table, &OPTIONS, Rule::Uniform);
    assert!((uniform[0] - gap).abs() < 0.01 && (uniform[1] - gap).abs() < 0.01);
    for rule in [Rule::Belief, Rule::Thompson, Rule::Proof] {
        assert!(regret(&table, &OPTIONS, rule)[1] < uniform[1] * 0.5, "{rule}");
    }
}

#[test]
fn after_an_exchange_of_columns_belief_finds_the_new_best_arm() {
    let table = table(&[0.75, 0.95, 0.85]);
    let swapped = Options { swap: Some((1, 2)), ..OPTIONS };
    assert_eq!(means(&table, swapped.swap)[1][2], table.means()[1]);
    let belief = regret(&table, &swapped, Rule::Belief)[1];
    assert!(belief < 0.5 * regret(&table, &swapped, Rule::Thompson)[1], "{belief}");
}

#[test]
fn sampled_and_late_rewards_slow_learning_down() {
    let table = table(&[0.6, 0.9, 0.8]);
    let usual = regret(&table, &OPTIONS, Rule::Belief)[0];
    let sampled = Options { sample_rate: 0.1, ..OPTIONS };
    let late = Options { delay: 10, ..OPTIONS };
    for options in [sampled, late] {
        for rule in Rule::ALL {
            let found = regret(&table, &options, rule);
            assert!(found[0] > 0.5 * usual && found[1] < 0.2, "{rule} {found:?}");
        }
    }
}

#[test]
fn the_summary_is_the_mean_of_all_runs() {
    let table = table(&[0.6, 0.9]);
    let runs: Vec<_> = (0..3)
        .map(|seed| run(&table, &OPTIONS, Rule::Belief, &mut StdRng::seed_from_u64(seed)))
        .collect();
    let all = summary(&table, &runs);
    let mean = runs.iter().map(|it| it.regret[0]).sum::<f64>() / 3.0;
    assert!((all.regret_first_half - mean).abs() < 1e-12);
    assert_eq!(all.weights.len(), OPTIONS.batches);
    assert!((all.weights[0]["model-0"] - 0.5).abs() < 1e-12);
}

#[test]
fn an_invalid_table_is_refused() {
    let arms = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let refused = |names: &[&str], rows: Vec<Vec<f64>>| Table::new(arms(names), rows).unwrap_err();
    assert_eq!(refused(&["a"], vec![vec![1.0]]), TableError::Arms(1));
    assert_eq!(refused(&["a", "a"], vec![]), TableError::Duplicate("a".to_owned()));
    assert_eq!(refused(&["a", "b"], vec![]), TableError::Empty);
    let short = refused(&["a", "b"], vec![vec![0.5, 0.5], vec![1.0]]);
    assert_eq!(short, TableError::Width { row: 2, expected: 2, found: 1 });
    let high = refused(&["a", "b"], vec![vec![0.5, 1.5]]);
    assert_eq!(high, TableError::Reward { row: 1, arm: "b".to_owned(), found: 1.5 });
    assert!(matches!(refused(&["a", "b"], vec![vec![0.5, f64::NAN]]), TableError::Reward { .. }));
}
