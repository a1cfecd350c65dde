"""The parts of `realqa train` and `realqa ncm`: what stands between conversations and a trained model.

Reading: conversations, lessons (what they teach about scale and form), answers (what is trained in a text).
Batches: rows (photos and tokens), collate, branches (which nodes of a numeral trie are needed).
What is learnt: objectives/, with answer_logits, continuity (the NCM), number_loss.
Running: settings, tuning (which weights), score_trainer, run_folder (log and checkpoints), ncm_log.
"""
