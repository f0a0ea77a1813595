"""The simulated world: bodies, objects, tasks, cameras, demonstrators. MuJoCo without OpenGL."""
