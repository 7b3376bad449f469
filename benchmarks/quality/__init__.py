"""How good models are, by what was changed in them: variants trained on one phantom cohort, compared study by study."""
