//! The runbook has a section for each alert. Its commands are run in [`super::printed`].

#[test]
fn every_alert_leads_to_a_section() {
    let alerts = include_str!("../../deploy/monitoring/alerts.yaml");
    let page = include_str!("../../docs/runbook.md");
    let sections: Vec<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|title| title.to_lowercase().replace(' ', "-"))
        .collect();
    let anchors: Vec<&str> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("runbook: docs/runbook.md#"))
        .collect();
    assert!(anchors.len() > 10);
    for anchor in anchors {
        assert!(sections.iter().any(|it| it == anchor), "{anchor}: {sections:?}");
    }
}
