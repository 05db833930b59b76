# The service on Cloud Run: what deploy/service.yaml declares, too.

resource "google_cloud_run_v2_service" "main" {
  name     = "f0-learning"
  location = var.region
  ingress  = "INGRESS_TRAFFIC_INTERNAL_ONLY"

  template {
    service_account = google_service_account.service.email

    scaling {
      min_instance_count = var.min_instances
      max_instance_count = var.max_instances
    }

    containers {
      image = var.image
      args  = ["serve"]

      ports {
        container_port = 8080
      }

      env {
        name  = "GOOGLE_CLOUD_PROJECT"
        value = var.project
      }

      env {
        name  = "LOG_FORMAT"
        value = "json"
      }

      env {
        name  = "ARCHIVE_URL"
        value = "gs://${google_storage_bucket.archive.name}/f0"
      }

      env {
        name  = "RETENTION_DAYS"
        value = tostring(var.retention_days)
      }

      env {
        name  = "NOTIFY_PUBSUB_TOPIC"
        value = google_pubsub_topic.notices.id
      }

      env {
        name = "ADMIN_TOKEN"

        value_source {
          secret_key_ref {
            secret  = google_secret_manager_secret.admin_token.secret_id
            version = "latest"
          }
        }
      }

      resources {
        # The jobs run on timers, so that they need the CPU between requests.
        cpu_idle = false

        limits = {
          cpu    = "1"
          memory = "512Mi"
        }
      }

      startup_probe {
        period_seconds    = 2
        failure_threshold = 30

        http_get {
          path = "/health"
        }
      }

      liveness_probe {
        period_seconds = 30

        http_get {
          path = "/health"
        }
      }
    }
  }

  depends_on = [
    google_firestore_index.composite,
    google_project_iam_member.service,
    google_secret_manager_secret_iam_member.admin_token,
  ]
}

resource "google_cloud_run_v2_service_iam_member" "caller" {
  for_each = toset(var.callers)
  name     = google_cloud_run_v2_service.main.name
  location = google_cloud_run_v2_service.main.location
  role     = "roles/run.invoker"
  member   = each.value
}
