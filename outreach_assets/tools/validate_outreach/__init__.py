"""validate-outreach: a file of companies or people, judged by the rules of the pipeline."""
