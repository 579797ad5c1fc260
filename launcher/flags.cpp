// The one place that defines flags: type and default. Help texts, units and what is required belong
// to the commands.
#include "launcher/flags.h"

#include <gflags/gflags.h>

DEFINE_string(layout, "", "layout of the input");
DEFINE_string(input, "", "input file or folder");
DEFINE_string(images, "", "folder of the images");
DEFINE_string(output, "", "output file or folder");
DEFINE_string(classes, "", "class names");
DEFINE_string(prefix, "data", "first part of the shards' names");
DEFINE_string(on_bad_sample, "fail", "fail or skip");
DEFINE_int64(max_shard_mb, 256, "MiB");
DEFINE_int32(threads, 0, "threads");
DEFINE_bool(overwrite, false, "replace");
DEFINE_string(data, "", "packed data set");
DEFINE_string(folds, "", "folds file, or number of folds");
DEFINE_string(method, "", "split method");
DEFINE_double(val_fraction, 0.2, "share");
DEFINE_int64(tries, 100, "tries");
DEFINE_uint64(seed, 0, "seed");

DEFINE_string(recipe, "", "recipe file");
DEFINE_int64(fold, 0, "fold");
DEFINE_string(run_dir, "", "run directory");
DEFINE_string(resume, "auto", "auto, never or a checkpoint");
DEFINE_string(device, "auto", "auto, cpu or cuda");
DEFINE_int32(loader_threads, 0, "threads");
DEFINE_bool(fastest, false, "give up bit identity");
DEFINE_double(bucket_mb, 25, "MiB");
DEFINE_double(timeout_s, 600, "s");
DEFINE_string(trial_name, "", "name");
DEFINE_string(model_group, "", "name");
DEFINE_bool(help_recipe, false, "print the recipe's keys");
DEFINE_string(run, "", "run directories");
DEFINE_string(split, "test", "val, test or all");
DEFINE_string(precision, "fp32", "fp32, bf16 or fp16");
DEFINE_int64(batch_size, 0, "samples");

DEFINE_int32(n, 1, "workers");
DEFINE_string(hosts, "", "host:slots list");
DEFINE_string(starter, "auto", "auto, mpirun, srun or local");
DEFINE_int32(max_restarts, 3, "restarts");
DEFINE_double(grace_s, 120, "s");
DEFINE_string(manifest, "", "manifest of a run");
DEFINE_string(seed_runs, "", "run directories");
DEFINE_bool(force, false, "go on without a promise");
DEFINE_string(plan, "", "plan file");
DEFINE_string(test_data, "", "packed test set");
DEFINE_string(executor, "local", "local or mpi");
DEFINE_int32(slots, 0, "slots");
DEFINE_bool(dry_run, false, "print only");
DEFINE_bool(retry_failed, true, "try failed trials again");
DEFINE_double(lease_s, 60, "s");

DEFINE_string(oof, "", "out-of-fold prediction sets");
DEFINE_string(test, "", "test prediction sets");
DEFINE_string(sample_submission, "", "sample submission");
DEFINE_string(metric, "", "metric");
DEFINE_string(baseline, "", "prediction sets of reference models");
DEFINE_string(runs, "", "run directories");
DEFINE_string(ensemble, "mean", "mean, best or greedy");
DEFINE_int32(greedy_rounds, 25, "rounds");
DEFINE_string(thresholds, "f1", "f1 or youden");
DEFINE_string(values, "probabilities", "probabilities or labels");
DEFINE_string(rle_order, "row", "row or column");
DEFINE_int32(bootstrap, 200, "replicates");
DEFINE_string(title, "Podium report", "title");
DEFINE_string(describe, "", "model name");
DEFINE_string(model, "", "model name");
DEFINE_string(head, "linear", "head");
DEFINE_int64(head_queries, 0, "queries");
DEFINE_int64(head_dim, 0, "channels");
DEFINE_string(weights, "", "safetensors file");
DEFINE_string(weights_prefix, "", "prefix of names");
DEFINE_string(target, "", "safetensors file");
DEFINE_string(grads, "", "safetensors file");
DEFINE_string(naming, "", "naming");
DEFINE_string(to, "", "naming");
DEFINE_int64(num_classes, 1000, "classes");
DEFINE_int64(num_train, 1000, "images");
DEFINE_int64(num_test, 250, "images");
DEFINE_int64(image_size, 128, "px");
DEFINE_double(unknown_fraction, 0.05, "share");
DEFINE_int64(epoch, 1, "epoch");
DEFINE_int64(num, 12, "images");
