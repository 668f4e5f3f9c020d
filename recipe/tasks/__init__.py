"""What the tasks are, and how they are scored."""

from recipe.tasks.catalogue import CATALOGUE, PREFINETUNE_TASKS, Family, Task, UnknownTask, get_task
from recipe.tasks.origin import source_splits

__all__ = ["CATALOGUE", "PREFINETUNE_TASKS", "Family", "Task", "UnknownTask", "get_task", "source_splits"]
