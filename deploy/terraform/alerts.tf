# The alerts of deploy/monitoring/alerts.yaml as policies of Cloud Monitoring. They need the metrics of the
# service in Managed Service for Prometheus (deploy/monitoring/README.md).

locals {
  alerts = {
    for rule in yamldecode(file("${path.module}/../monitoring/alerts.yaml")).groups[0].rules :
    rule.alert => rule
  }
}

resource "google_monitoring_alert_policy" "alert" {
  for_each              = local.alerts
  display_name          = each.key
  combiner              = "OR"
  severity              = each.value.labels.severity == "page" ? "CRITICAL" : "WARNING"
  notification_channels = var.notification_channels

  conditions {
    display_name = each.key

    condition_prometheus_query_language {
      query               = trimspace(each.value.expr)
      duration            = endswith(each.value.for, "h") ? "${tonumber(trimsuffix(each.value.for, "h")) * 3600}s" : "${tonumber(trimsuffix(each.value.for, "m")) * 60}s"
      evaluation_interval = "60s"
      alert_rule          = each.key
      rule_group          = "f0-learning"
    }
  }

  documentation {
    content = each.value.annotations.runbook
  }

  depends_on = [google_project_service.api]
}
