"""Composer algorithms of pre-finetuning: pure functions and thin ``Algorithm`` classes that fit any ``Trainer``."""
