"""One file per task. A task is an object called TASK, made from `pilab.world.task.Task`."""
