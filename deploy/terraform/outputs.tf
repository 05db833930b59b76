output "url" {
  description = "Where the service answers, within the project's network"
  value       = google_cloud_run_v2_service.main.uri
}

output "repository" {
  description = "Where to push the image"
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}
