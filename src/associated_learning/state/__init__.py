"""What training changes and keeps: optimizers and schedules, history, snapshots, checkpoints."""
