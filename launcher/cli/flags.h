// Every flag of every command. Defined once in flags.cpp; which command takes which flag:
// commands.h.
#pragma once

#include <gflags/gflags_declare.h>

// Data.
DECLARE_string(layout);
DECLARE_string(input);
DECLARE_string(images);
DECLARE_string(output);
DECLARE_string(classes);
DECLARE_string(prefix);
DECLARE_string(on_bad_sample);
DECLARE_int64(max_shard_mb);
DECLARE_int32(threads);
DECLARE_bool(overwrite);
DECLARE_bool(decode);
DECLARE_string(resize);
DECLARE_int32(max_side);
DECLARE_int32(jpeg_quality);
DECLARE_int32(jpeg_restart_px);
DECLARE_string(exif);
DECLARE_string(overlap);
DECLARE_string(crowd);
DECLARE_string(group_column);
DECLARE_string(mask_member);
DECLARE_string(task);
DECLARE_string(against);
DECLARE_string(data);
DECLARE_string(folds);
DECLARE_int64(num_folds);
DECLARE_string(method);
DECLARE_double(val_fraction);
DECLARE_int64(tries);
DECLARE_uint64(seed);

// Training and prediction.
DECLARE_string(recipe);
DECLARE_int64(fold);
DECLARE_string(run_dir);
DECLARE_string(resume);
DECLARE_string(device);
DECLARE_int32(loader_threads);
DECLARE_string(io);
DECLARE_string(stage);
DECLARE_bool(fastest);
DECLARE_double(bucket_mb);
DECLARE_double(timeout_s);
DECLARE_string(trial_name);
DECLARE_string(model_group);
DECLARE_string(help_recipe);
DECLARE_bool(markdown);
DECLARE_string(run);
DECLARE_string(split);
DECLARE_string(precision);
DECLARE_int64(batch_size);

// Launching and sweeping.
DECLARE_int32(n);
DECLARE_string(hosts);
DECLARE_string(starter);
DECLARE_int32(max_restarts);
DECLARE_double(grace_s);
DECLARE_string(manifest);
DECLARE_string(seed_runs);
DECLARE_bool(force);
DECLARE_string(plan);
DECLARE_string(test_data);
DECLARE_string(executor);
DECLARE_int32(slots);
DECLARE_bool(dry_run);
DECLARE_bool(retry_failed);
DECLARE_double(lease_s);

// Gathering, models, the demo's images.
DECLARE_string(oof);
DECLARE_string(test);
DECLARE_string(sample_submission);
DECLARE_string(metric);
DECLARE_string(baseline);
DECLARE_string(runs);
DECLARE_string(ensemble);
DECLARE_int32(greedy_rounds);
DECLARE_string(thresholds);
DECLARE_string(values);
DECLARE_string(rle_order);
DECLARE_int32(bootstrap);
DECLARE_string(title);
DECLARE_string(describe);
DECLARE_string(model);
DECLARE_string(head);
DECLARE_int64(head_queries);
DECLARE_string(pool);
DECLARE_int64(window_size);
DECLARE_int64(head_dim);
DECLARE_string(weights);
DECLARE_string(weights_prefix);
DECLARE_string(target);
DECLARE_string(grads);
DECLARE_string(naming);
DECLARE_string(to);
DECLARE_int64(num_classes);
DECLARE_int64(num_train);
DECLARE_int64(num_test);
DECLARE_int64(image_size);
DECLARE_double(unknown_fraction);
DECLARE_int64(epoch);
DECLARE_int64(num);
