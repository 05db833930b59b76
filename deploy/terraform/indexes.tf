# Written by `.ci/terraform.py write` from firestore.indexes.json.
locals {
  indexes = {
    "ops_observations-component-ascending-ts-descending"    = { collection = "ops_observations", fields = [{ path = "component", order = "ASCENDING" }, { path = "ts", order = "DESCENDING" }] }
    "ops_rewards-component-ascending-ts-descending"         = { collection = "ops_rewards", fields = [{ path = "component", order = "ASCENDING" }, { path = "ts", order = "DESCENDING" }] }
    "ops_stats-component-ascending-window-ascending"        = { collection = "ops_stats", fields = [{ path = "component", order = "ASCENDING" }, { path = "window", order = "ASCENDING" }] }
    "ops_policies-id-ascending-status-ascending"            = { collection = "ops_policies", fields = [{ path = "id", order = "ASCENDING" }, { path = "status", order = "ASCENDING" }] }
    "ops_policies-id-ascending-createdAt-descending"        = { collection = "ops_policies", fields = [{ path = "id", order = "ASCENDING" }, { path = "createdAt", order = "DESCENDING" }] }
    "ops_experiments-policy-ascending-startedAt-descending" = { collection = "ops_experiments", fields = [{ path = "policy", order = "ASCENDING" }, { path = "startedAt", order = "DESCENDING" }] }
    "ops_audit-id-ascending-ts-descending"                  = { collection = "ops_audit", fields = [{ path = "id", order = "ASCENDING" }, { path = "ts", order = "DESCENDING" }] }
    "ops_audit-action-ascending-ts-descending"              = { collection = "ops_audit", fields = [{ path = "action", order = "ASCENDING" }, { path = "ts", order = "DESCENDING" }] }
    "ops_audit-actor-ascending-ts-descending"               = { collection = "ops_audit", fields = [{ path = "actor", order = "ASCENDING" }, { path = "ts", order = "DESCENDING" }] }
  }

  fields = {
    "ops_observations-meta"      = { collection = "ops_observations", path = "meta", orders = [] }
    "ops_rewards-details"        = { collection = "ops_rewards", path = "details", orders = [] }
    "ops_policies-params"        = { collection = "ops_policies", path = "params", orders = [] }
    "ops_policies-evidence"      = { collection = "ops_policies", path = "evidence", orders = [] }
    "ops_audit-evidence"         = { collection = "ops_audit", path = "evidence", orders = [] }
    "ops_quarantine-document"    = { collection = "ops_quarantine", path = "document", orders = [] }
    "ops_policies-verdict"       = { collection = "ops_policies", path = "verdict", orders = [] }
    "ops_policies-candidate"     = { collection = "ops_policies", path = "candidate", orders = [] }
    "ops_experiments-comparison" = { collection = "ops_experiments", path = "comparison", orders = [] }
    "ops_experiments-guard"      = { collection = "ops_experiments", path = "guard", orders = [] }
    "ops_stats-*"                = { collection = "ops_stats", path = "*", orders = [] }
    "ops_stats-component"        = { collection = "ops_stats", path = "component", orders = ["ASCENDING"] }
    "ops_state-*"                = { collection = "ops_state", path = "*", orders = [] }
    "ops_state-nextChange"       = { collection = "ops_state", path = "nextChange", orders = ["ASCENDING"] }
    "ops_state-workerUntil"      = { collection = "ops_state", path = "workerUntil", orders = ["ASCENDING"] }
    "ops_notices-*"              = { collection = "ops_notices", path = "*", orders = [] }
    "ops_notices-nextAt"         = { collection = "ops_notices", path = "nextAt", orders = ["ASCENDING"] }
  }
}

resource "google_firestore_index" "composite" {
  for_each   = local.indexes
  database   = google_firestore_database.main.name
  collection = each.value.collection

  dynamic "fields" {
    for_each = each.value.fields

    content {
      field_path = fields.value.path
      order      = fields.value.order
    }
  }
}

resource "google_firestore_field" "single" {
  for_each   = local.fields
  database   = google_firestore_database.main.name
  collection = each.value.collection
  field      = each.value.path

  index_config {
    dynamic "indexes" {
      for_each = each.value.orders

      content {
        order = indexes.value
      }
    }
  }
}
