# The project's APIs, the database with its rules, the service account, the token, the archive.

locals {
  apis = [
    "artifactregistry.googleapis.com",
    "firebaserules.googleapis.com",
    "firestore.googleapis.com",
    "iam.googleapis.com",
    "monitoring.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
  ]
}

resource "google_project_service" "api" {
  for_each           = toset(local.apis)
  service            = each.value
  disable_on_destroy = false
}

resource "google_firestore_database" "main" {
  name                              = "(default)"
  location_id                       = var.region
  type                              = "FIRESTORE_NATIVE"
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"
  delete_protection_state           = "DELETE_PROTECTION_ENABLED"
  depends_on                        = [google_project_service.api]
}

resource "google_firebaserules_ruleset" "firestore" {
  source {
    files {
      name    = "firestore.rules"
      content = file("${path.module}/../../firestore.rules")
    }
  }

  depends_on = [google_firestore_database.main]
}

resource "google_firebaserules_release" "firestore" {
  name         = "cloud.firestore"
  ruleset_name = google_firebaserules_ruleset.firestore.name
}

resource "google_service_account" "service" {
  account_id   = "f0-learning"
  display_name = "f0-learning"
  depends_on   = [google_project_service.api]
}

resource "google_project_iam_member" "service" {
  project = var.project
  role    = "roles/datastore.user"
  member  = google_service_account.service.member
}

resource "google_project_iam_member" "component" {
  for_each = toset(var.components)
  project  = var.project
  role     = "roles/datastore.user"
  member   = each.value
}

resource "google_artifact_registry_repository" "images" {
  repository_id = "f0"
  location      = var.region
  format        = "DOCKER"
  depends_on    = [google_project_service.api]
}

# The value of the token is added by hand, so that it is in no state file; docs/deploy.md says how.
resource "google_secret_manager_secret" "admin_token" {
  secret_id = "f0-learning-admin-token"

  replication {
    auto {}
  }

  depends_on = [google_project_service.api]
}

resource "google_secret_manager_secret_iam_member" "admin_token" {
  secret_id = google_secret_manager_secret.admin_token.id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.service.member
}

resource "google_storage_bucket" "archive" {
  name                        = "${var.project}-f0-archive"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
}

resource "google_storage_bucket_iam_member" "archive" {
  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectUser"
  member = google_service_account.service.member
}

resource "google_pubsub_topic" "notices" {
  name       = "f0-learning-notices"
  depends_on = [google_project_service.api]
}

resource "google_pubsub_topic_iam_member" "notices" {
  topic  = google_pubsub_topic.notices.id
  role   = "roles/pubsub.publisher"
  member = google_service_account.service.member
}
