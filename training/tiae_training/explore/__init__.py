"""`tiae explore`: one HTML file that shows what a model has learnt. No torch.

atlas           descriptors of windows, the axes in which they differ most, and their clusters
decoder_graph   the decoder's graph and weights, as the page computes it
page            all of it as one file: template.html, page.js and decoder.js (the decoder's operators) with the data
"""
