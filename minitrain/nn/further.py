"""Where torch.nn's and torch.nn.functional's names are defined that a module imports with their first use."""

FUNCTIONS = {
    "minitrain.nn.activation": "celu elu gelu glu hardsigmoid hardswish hardtanh leaky_relu logsigmoid mish prelu "
    "relu6 selu silu softmin softplus softsign tanhshrink threshold",
    "minitrain.nn.more_losses": "binary_cross_entropy binary_cross_entropy_with_logits gaussian_nll_loss huber_loss "
    "kl_div l1_loss poisson_nll_loss smooth_l1_loss",
    "minitrain.nn.margin_losses": "cosine_embedding_loss hinge_embedding_loss margin_ranking_loss multi_margin_loss "
    "multilabel_soft_margin_loss soft_margin_loss triplet_margin_loss",
    "minitrain.nn.convolution": "adaptive_avg_pool2d adaptive_max_pool2d avg_pool2d conv1d conv2d max_pool1d "
    "max_pool2d",
    "minitrain.nn.in_place": "celu_ elu_ hardtanh_ leaky_relu_ relu_ selu_ threshold_",
    "minitrain.nn.magnitude_normalization": "local_response_norm rms_norm",
    "minitrain.nn.normalization": "batch_norm layer_norm",
    "minitrain.nn.pixel_shuffle": "pixel_shuffle pixel_unshuffle",
    "minitrain.nn.shrinkage": "hardshrink softshrink",
    "minitrain.nn.sliding_blocks": "fold unfold",
    "minitrain.nn.embedding": "embedding one_hot",
    "minitrain.nn.embedding_bag": "embedding_bag",
    "minitrain.nn.shapes": "cosine_similarity dropout1d dropout2d normalize pad pairwise_distance",
    "minitrain.nn.upsampling": "conv_transpose2d interpolate upsample",
    "minitrain.nn.group_normalization": "group_norm instance_norm",
    "minitrain.nn.pooling_1d": "adaptive_avg_pool1d adaptive_max_pool1d avg_pool1d",
}
MODULES = {
    "minitrain.nn": "modules utils",
    "minitrain.nn.activation": "CELU ELU GELU GLU SELU Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid Mish PReLU "
    "ReLU6 SiLU Softmin Softplus Softsign Tanhshrink Threshold",
    "minitrain.nn.convolution": "AdaptiveAvgPool2d AdaptiveMaxPool2d AvgPool2d Conv1d Conv2d MaxPool1d MaxPool2d",
    "minitrain.nn.data_parallel": "DataParallel",
    "minitrain.nn.embedding": "Embedding",
    "minitrain.nn.embedding_bag": "EmbeddingBag",
    "minitrain.nn.group_normalization": "GroupNorm InstanceNorm1d InstanceNorm2d",
    "minitrain.nn.lazy": "LazyBatchNorm1d LazyBatchNorm2d LazyConv2d LazyLinear",
    "minitrain.nn.margin_losses": "CosineEmbeddingLoss HingeEmbeddingLoss MarginRankingLoss MultiLabelSoftMarginLoss "
    "MultiMarginLoss SoftMarginLoss TripletMarginLoss",
    "minitrain.nn.more_losses": "BCELoss BCEWithLogitsLoss GaussianNLLLoss HuberLoss KLDivLoss L1Loss PoissonNLLLoss "
    "SmoothL1Loss",
    "minitrain.nn.magnitude_normalization": "LocalResponseNorm RMSNorm",
    "minitrain.nn.normalization": "BatchNorm1d BatchNorm2d LayerNorm",
    "minitrain.nn.parameter_dict": "ParameterDict",
    "minitrain.nn.pixel_shuffle": "PixelShuffle PixelUnshuffle",
    "minitrain.nn.pooling_1d": "AdaptiveAvgPool1d AdaptiveMaxPool1d AvgPool1d",
    "minitrain.nn.shapes": "ConstantPad1d ConstantPad2d CosineSimilarity Dropout1d Dropout2d Identity "
    "PairwiseDistance ReflectionPad1d ReflectionPad2d ReplicationPad1d ReplicationPad2d Unflatten ZeroPad1d ZeroPad2d",
    "minitrain.nn.shrinkage": "Hardshrink Softshrink",
    "minitrain.nn.sliding_blocks": "Fold Unfold",
    "minitrain.nn.upsampling": "ConvTranspose2d Upsample UpsamplingBilinear2d UpsamplingNearest2d",
}
