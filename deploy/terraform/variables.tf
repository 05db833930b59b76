variable "project" {
  description = "Id of the project"
  type        = string
}

variable "region" {
  description = "Region of the service, the database and the archive"
  type        = string
}

variable "image" {
  description = "The image by its digest: REGION-docker.pkg.dev/PROJECT/f0/f0-learning@sha256:..."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Name the image by its digest, so that a deployment runs what was tested."
  }
}

variable "min_instances" {
  description = "Instances that always run; the jobs need at least one"
  type        = number
  default     = 1
}

variable "max_instances" {
  description = "Most instances at a time"
  type        = number
  default     = 2
}

variable "callers" {
  description = "Who may call the API, as members of IAM: serviceAccount:... or group:..."
  type        = list(string)
  default     = []
}

variable "components" {
  description = "Service accounts of the components that write observations and read policies, as members of IAM"
  type        = list(string)
  default     = []
}

variable "retention_days" {
  description = "Days that documents stay in Firestore before they are archived"
  type        = number
  default     = 30
}

variable "notification_channels" {
  description = "Names of the channels of Cloud Monitoring that alerts notify"
  type        = list(string)
  default     = []
}
