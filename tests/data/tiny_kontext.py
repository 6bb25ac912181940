"""FLUX.1-Kontext with random weights, small enough for a processor core."""


def _tokenizers():
    """A CLIP and a T5 tokenizer of single letters, and their sizes."""
    import transformers

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + [".", ","]
    clip_words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    clip = transformers.CLIPTokenizer(
        vocab={word: i for i, word in enumerate(clip_words)}, merges=[], model_max_length=16
    )
    pieces = ["<pad>", "</s>", "<unk>", "▁", *letters]
    t5 = transformers.T5TokenizerFast(
        vocab=[(piece, -1.0) for piece in pieces], extra_ids=0, model_max_length=16
    )
    return clip, t5, len(clip_words), len(pieces)


def tiny_pipeline():
    """A FluxKontextPipeline with random weights, small enough for a processor core."""
    import diffusers
    import torch
    import transformers

    clip, t5, clip_size, t5_size = _tokenizers()
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKL(
        sample_size=32,
        in_channels=3,
        out_channels=3,
        block_out_channels=(4,),
        layers_per_block=1,
        latent_channels=1,
        norm_num_groups=1,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.06,
        scaling_factor=1.5,
    )
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    clip_text = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
            hidden_size=32,
            intermediate_size=37,
            num_attention_heads=4,
            num_hidden_layers=2,
            vocab_size=clip_size,
            max_position_embeddings=16,
        )
    )
    t5_text = transformers.T5EncoderModel(
        transformers.T5Config(
            vocab_size=t5_size,
            d_model=32,
            d_kv=8,
            d_ff=37,
            num_layers=2,
            num_heads=4,
            decoder_start_token_id=0,
        )
    )
    made = diffusers.FluxKontextPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=vae.eval(),
        text_encoder=clip_text.eval(),
        tokenizer=clip,
        text_encoder_2=t5_text.eval(),
        tokenizer_2=t5,
        transformer=transformer.eval(),
    )
    made.set_progress_bar_config(disable=True)
    return made
