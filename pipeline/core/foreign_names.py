"""What other trainers call hone's keys, so that an unknown key is answered with the right one."""

from __future__ import annotations

from typing import NamedTuple


class ForeignName(NamedTuple):
    """hone's key (with its path) and whose word the foreign one is."""

    name: str
    source: str


FOREIGN_NAMES: dict[str, ForeignName] = {
    "adapter_name_or_path": ForeignName("base_model", "LLaMA-Factory"),
    "batch_size": ForeignName("train.per_device_train_batch_size", "Unsloth"),
    "base_model_config": ForeignName("base_model", "axolotl"),
    "cutoff_len": ForeignName("train.max_length", "LLaMA-Factory"),
    "dataset": ForeignName("data.path", "LLaMA-Factory"),
    "dataset_name": ForeignName("data.path", "TRL"),
    "datasets": ForeignName("data.path", "axolotl"),
    "early_stopping_steps": ForeignName("train.early_stopping_patience", "LLaMA-Factory"),
    "epochs": ForeignName("train.num_train_epochs", "OpenAI"),
    "finetuning_type": ForeignName("train.adapter", "LLaMA-Factory"),
    "load_in_4bit": ForeignName("train.adapter: qlora", "axolotl"),
    "lora_alpha": ForeignName("train.lora.lora_alpha", "axolotl"),
    "lora_dropout": ForeignName("train.lora.lora_dropout", "axolotl"),
    "lora_r": ForeignName("train.lora.r", "axolotl"),
    "lora_rank": ForeignName("train.lora.r", "LLaMA-Factory"),
    "lora_target": ForeignName("train.lora.target_modules", "LLaMA-Factory"),
    "lora_target_linear": ForeignName("train.lora.target_modules: all-linear", "axolotl"),
    "lora_target_modules": ForeignName("train.lora.target_modules", "axolotl"),
    "learning_rate_scheduler": ForeignName("train.lr_scheduler_type", "Ludwig"),
    "lr": ForeignName("train.learning_rate", "torchtune"),
    "lr_scheduler": ForeignName("train.lr_scheduler_type", "axolotl"),
    "max_seq_length": ForeignName("train.max_length", "TRL (before 0.20)"),
    "max_samples": ForeignName("data.max_rows", "LLaMA-Factory"),
    "micro_batch_size": ForeignName("train.per_device_train_batch_size", "axolotl"),
    "model": ForeignName("base_model", "OpenAI"),
    "model_name_or_path": ForeignName("base_model", "TRL"),
    "n_epochs": ForeignName("train.num_train_epochs", "OpenAI"),
    "num_epochs": ForeignName("train.num_train_epochs", "axolotl"),
    "pref_beta": ForeignName("train.dpo.beta", "LLaMA-Factory"),
    "quantization_bit": ForeignName("train.adapter: qlora", "LLaMA-Factory"),
    "rl": ForeignName("train.method", "axolotl"),
    "rl_beta": ForeignName("train.dpo.beta", "axolotl"),
    "sample_packing": ForeignName("train.packing", "axolotl"),
    "sequence_len": ForeignName("train.max_length", "axolotl"),
    "stage": ForeignName("train.method", "LLaMA-Factory"),
    "template": ForeignName("train.chat_template", "LLaMA-Factory"),
    "train_file": ForeignName("data.path", "transformers"),
    "train_on_inputs": ForeignName("train.completion_only_loss", "axolotl"),
    "training_file": ForeignName("data.path", "OpenAI"),
    "use_peft": ForeignName("train.adapter", "TRL"),
    "val_set_size": ForeignName("data.split.validation", "axolotl"),
    "val_size": ForeignName("data.split.validation", "LLaMA-Factory"),
    "validation_file": ForeignName("data.validation_path", "OpenAI"),
    "warmup_steps": ForeignName("train.warmup_ratio", "transformers"),
    "seed": ForeignName("train.seeds", "transformers"),
}
