-- External tables over the files that `retain` writes, and a view that joins them.
-- Replace BUCKET/PREFIX with the bucket and prefix of ARCHIVE_URL, then run:
--   bq query --use_legacy_sql=false --project_id=PROJECT < deploy/bigquery/tables.sql

CREATE SCHEMA IF NOT EXISTS f0_learning;

CREATE OR REPLACE EXTERNAL TABLE f0_learning.observations
WITH PARTITION COLUMNS (day DATE)
OPTIONS (
  format = 'PARQUET',
  uris = ['gs://BUCKET/PREFIX/observations/*'],
  hive_partition_uri_prefix = 'gs://BUCKET/PREFIX/observations',
  require_hive_partition_filter = FALSE
);

CREATE OR REPLACE EXTERNAL TABLE f0_learning.rewards
WITH PARTITION COLUMNS (day DATE)
OPTIONS (
  format = 'PARQUET',
  uris = ['gs://BUCKET/PREFIX/rewards/*'],
  hive_partition_uri_prefix = 'gs://BUCKET/PREFIX/rewards',
  require_hive_partition_filter = FALSE
);

CREATE OR REPLACE EXTERNAL TABLE f0_learning.quarantine
WITH PARTITION COLUMNS (day DATE)
OPTIONS (
  format = 'PARQUET',
  uris = ['gs://BUCKET/PREFIX/quarantine/*'],
  hive_partition_uri_prefix = 'gs://BUCKET/PREFIX/quarantine',
  require_hive_partition_filter = FALSE
);

-- If a document changed after it was archived and before it was deleted, its id occurs twice; the
-- view uses the later state. A reward is in the partition of its observation's day.
CREATE OR REPLACE VIEW f0_learning.scored_observations AS
WITH
  latest_observations AS (
    SELECT * FROM f0_learning.observations
    QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY updateTime DESC) = 1
  ),
  latest_rewards AS (
    SELECT * FROM f0_learning.rewards
    QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY updateTime DESC) = 1
  )
SELECT
  observations.day,
  observations.id,
  TIMESTAMP_MILLIS(observations.ts) AS at,
  observations.component,
  observations.outcome,
  observations.durationMs,
  observations.tokensIn,
  observations.tokensOut,
  observations.costUsd,
  observations.policyVersion,
  observations.errorCode,
  COALESCE(observations.sampleRate, 1.0) AS sampleRate,
  observations.propensity,
  rewards.score,
  rewards.successBoost,
  rewards.latencyPenalty,
  rewards.costPenalty,
  rewards.errorPenalty,
  rewards.configVersion
FROM latest_observations AS observations
JOIN latest_rewards AS rewards USING (day, id);
